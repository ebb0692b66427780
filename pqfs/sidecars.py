"""The sidecars of an inbox: which one counts for a payload, which is early, late, or was left behind by a crash.

A sidecar comes before its payload. One that is there when the payload is taken counts, and its mark (size and time)
stands with the job. So one that lies alone can be told apart: one that is older than a job and has its mark was left
by a crash, and is removed; one that is older than a job that was taken without any came too late; any other waits
for the next file of its name, for `ingest.wait_limit`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from pqfs import naming, sidecar
from pqfs.clock import Clock
from pqfs.errors import Rejected
from pqfs.inbox import SIDECAR, Entry, Inbox, Judgement, Verdict
from pqfs.intake import Intake
from pqfs.jobqueue import JobQueue
from pqfs.model import Job
from pqfs.places import identity
from pqfs.sidecar import Sidecar

_INSTANT = 0.001  # the precision of the instant in a job id
_AT_ONCE = 64  # lone sidecars that a sweep asks the index about: each question reads all young jobs


class Wait(Exception):
    """The payload must wait for its sidecar."""

    def __init__(self, judgement: Judgement) -> None:
        super().__init__(judgement.reason)
        self.judgement = judgement


class Sidecars:
    """The sidecars that one sweep has found, by the path of the payload that they belong to."""

    def __init__(self, jobqueue: JobQueue, inbox: Inbox, intake: Intake, clock: Clock) -> None:
        self._index = jobqueue.index
        self._settings = jobqueue.settings
        self._terms = jobqueue.terms
        self._inbox = inbox
        self._intake = intake
        self._clock = clock
        self._found: Mapping[bytes, Entry] = {}
        self._known: frozenset[str] = frozenset()
        self._asked: set[tuple[bytes, int]] = set()

    def split(self, entries: Sequence[Entry], known: frozenset[str]) -> list[Entry]:
        """Keep the sidecars among these entries, and return the payloads. `known` are the queues that there are."""
        payloads, found = [], {}
        for entry in entries:
            if entry.path.endswith(SIDECAR) and len(os.path.basename(entry.path)) > len(SIDECAR):
                found[entry.path.removesuffix(SIDECAR)] = entry
            else:
                payloads.append(entry)
        self._found, self._known = found, known
        return payloads

    # ---------------------------------------------------------------- beside a payload

    def read(self, directory: int, entry: Entry) -> tuple[Sidecar, Entry] | None:
        """The sidecar that counts for a payload; None for none. `directory` holds both.

        Raises:
            Wait: it is not there yet, or not complete.
            Rejected: it can not be one; it has been put into rejected/, and its payload is to follow.
        """
        beside = self._found.get(entry.path)
        if beside is None:
            self._wait_for(entry)
            return None
        judgement = self._inbox.judge(directory, beside, self._clock.boottime())
        try:
            return self._read(judgement, beside, entry)
        except Rejected as error:
            self._intake.reject(directory, beside, error.message)
            raise
        finally:
            if judgement.descriptor is not None:
                os.close(judgement.descriptor)

    def _wait_for(self, entry: Entry) -> None:
        wait = self._terms.queue(entry.queue).sidecar_wait()
        waited = self._inbox.waited(entry, self._clock.boottime())
        if waited < wait:
            raise Wait(Judgement(Verdict.WAIT, "it waits for its sidecar", min(1.0, wait - waited)))

    def _read(self, judgement: Judgement, beside: Entry, entry: Entry) -> tuple[Sidecar, Entry]:
        if judgement.verdict is Verdict.REJECT:
            raise Rejected(f"its sidecar can not be read: {judgement.reason}")
        if judgement.descriptor is None or judgement.found is None:
            reason = judgement.reason or "it has just gone"
            raise Wait(Judgement(Verdict.WAIT, f"its sidecar is not complete: {reason}", judgement.retry_in))
        found = sidecar.read(judgement.descriptor)
        if identity(os.fstat(judgement.descriptor)) != identity(judgement.found):
            raise Wait(Judgement(Verdict.WAIT, "its sidecar is being changed", 0.1))
        self._check_queue(found, entry)
        return found, _as_judged(beside, judgement.found)

    def _check_queue(self, found: Sidecar, entry: Entry) -> None:
        """Refuse one that sends the job where it may not go, or where nobody would ever claim it."""
        if found.queue in (None, entry.queue):
            return
        if not self._terms.queue(entry.queue).sidecar_queue:
            raise Rejected(f"its sidecar names queue {found.queue}; sidecar_queue is off for queue {entry.queue}")
        if found.queue not in self._known:
            raise Rejected(f"its sidecar names queue {found.queue}, and there is none")

    def drop(self, directory: int, counted: Entry) -> None:
        """Remove the sidecar that has become part of a job. It is in the row, and in meta/, by now."""
        # Crash here: a sidecar without its payload; `judge_lone` finds the job that counted it and removes it.
        try:
            found = os.stat(os.path.basename(counted.path), dir_fd=directory, follow_symlinks=False)
            if found.st_ino == counted.inode and _mark_of(found) == mark_of(counted):
                self._intake.remove(directory, counted, identity(found))
        except OSError:
            return  # gone, or its producer lets nobody move it: then it is asked about as a lone one

    # ---------------------------------------------------------------- alone

    def judge_lone(self, payloads: Sequence[Entry]) -> int:
        """Remove, refuse or keep the sidecars that have none of these payloads; how many were refused."""
        if not self._found:
            self._asked.clear()
            return 0
        present = {each.path for each in payloads}
        now, limit = self._clock.boottime(), self._settings.ingest.wait_limit
        self._asked &= {(each.path, each.inode) for each in self._found.values()}
        lone = [beside for path, beside in self._found.items() if path not in present]
        found = [each for each in lone if self._is_open(each, now, limit)]
        found.sort(key=lambda each: (each.path, each.inode) in self._asked)
        return sum(self._judge_one(each, self._inbox.waited(each, now) >= limit) for each in found[:_AT_ONCE])

    def _is_open(self, beside: Entry, now: float, limit: float) -> bool:
        """Whether there is anything to ask about it: never asked, or its wait is over."""
        self._inbox.note(beside, now)
        return (beside.path, beside.inode) not in self._asked or self._inbox.waited(beside, now) >= limit

    def _judge_one(self, beside: Entry, is_over: bool) -> int:
        self._asked.add((beside.path, beside.inode))
        try:
            directory = self._inbox.open_parent(beside)
        except OSError:
            return 0  # its folder has gone: the next sweep looks again
        try:
            return self._settle(directory, beside, is_over)
        except OSError:
            return 0  # its producer lets nobody move it; asked again when its wait is over
        finally:
            os.close(directory)

    def _settle(self, directory: int, beside: Entry, is_over: bool) -> int:
        job = self._job_of(beside)
        if job and _mark(job) == mark_of(beside) and not _is_younger(beside, job):
            self.drop(directory, beside)
        elif job and _mark(job) is None and (is_over or not _is_younger(beside, job)):
            return self._intake.reject(
                directory, beside, f"it came too late: job {job.id} was taken without it", job.id
            )
        elif is_over:
            return int(self._intake.reject(directory, beside, "its payload did not come"))
        return 0

    def _job_of(self, beside: Entry) -> Job | None:
        """The newest young job of its name: in its own queue, or in the one that it sent it to."""
        name = beside.name.removesuffix(SIDECAR)
        since = self._clock.now() - self._settings.ingest.wait_limit
        if self._terms.queue(beside.queue).sidecar_queue:
            sent = self._index.job_by_name(None, name, since)
            if sent and _mark(sent) == mark_of(beside):
                return sent
        return self._index.job_by_name(beside.queue, name, since)


def mark_of(entry: Entry) -> str:
    """The mark of a sidecar as it was listed or judged."""
    return sidecar.mark_of(entry.size, entry.mtime_ns)


def _mark_of(found: os.stat_result) -> str:
    return sidecar.mark_of(found.st_size, found.st_mtime_ns)


def _as_judged(entry: Entry, found: os.stat_result) -> Entry:
    return Entry(
        entry.path, entry.queue, entry.name, found.st_mtime_ns, found.st_size, found.st_ctime_ns, found.st_ino
    )


def _mark(job: Job) -> str | None:
    found = (job.options or {}).get("sidecar")
    return None if found is None else str(found)


def _is_younger(beside: Entry, job: Job) -> bool:
    """Whether it was written after the job had been taken: then it is early for the next file of its name."""
    return beside.ctime_ns / 1e9 > naming.id_time(job.id) + _INSTANT
