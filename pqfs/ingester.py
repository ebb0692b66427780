"""inbox/ -> ready/ + index: notices files, waits until they are complete, makes them jobs.

Events only say *look now*; the listing is the truth. A sweep runs at start, after every event, every few
seconds, and again while the last one found something. When sweeps find much, the watch is dropped and the
inbox swept until a pass takes nothing; then the watch is armed and one more sweep made: interrupts when idle,
polling when busy.

Trust: everything below inbox/ was written by strangers. It is listed through descriptors, opened without
following links or blocking, and judged by its descriptor. Writes: ready/<me>/, meta/, rejected/, index rows.
Deletes nothing but sidecars it has read and empty directories.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from pqfs import naming, sidecar
from pqfs.clock import Clock
from pqfs.doorbell import Bell
from pqfs.errors import IndexGone, PqfsError, Rejected, Unavailable, VolumeFault
from pqfs.events import Word, emit, trouble
from pqfs.inbox import SIDECAR, Entry, Inbox, Judgement, Verdict
from pqfs.jobqueue import JobQueue, Taken
from pqfs.model import Arrival, Job
from pqfs.naming import JobIds, Parked
from pqfs.pulse import Pulse
from pqfs.runtime import Stop
from pqfs.sidecar import Sidecar
from pqfs.watch import Watch

_MANY = 64  # a sweep that takes this many drops the watch
_INSTANT = 0.001  # the precision of the instant in a job id


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that waits in the inbox: why, since when (boot time), and how long it may for that reason (seconds)."""

    name: str
    reason: str
    since: float
    limit: float | None = None

    @property
    def due(self) -> float:
        """When it should have gone."""
        return self.since + (self.limit or 0.0)


@dataclass(slots=True)
class Sweep:
    """What one pass over the inbox did, and when the next look is due at the latest (seconds)."""

    taken: int = 0
    waiting: int = 0
    rejected: int = 0
    next_look: float = field(default=float("inf"))
    longest: Waiting | None = None
    trouble: str | None = None

    def wait(self, judgement: Judgement) -> None:
        """Count something that must wait."""
        self.waiting += 1
        self.next_look = min(self.next_look, max(0.05, judgement.retry_in))


class Ingester:
    """One ingester. Several may run on one spool: whoever wins the rename has the file."""

    def __init__(
        self, jobqueue: JobQueue, inbox: Inbox, owner: str, clock: Clock, pulse: Pulse | None = None
    ) -> None:
        self._jobqueue = jobqueue
        self._settings = jobqueue.settings
        self._inbox = inbox
        self._owner = owner
        self._clock = clock
        self._pulse = pulse
        self._blind: dict[str, Any] | None = None
        self._longest: Waiting | None = None
        self._ids = JobIds()
        self._unsettled: list[tuple[Arrival, str]] = []
        self._empty_since: dict[bytes, float] = {}
        self._foreign: set[tuple[int, int]] = set()
        self._is_paused = False
        self._known: frozenset[str] = frozenset()
        jobqueue.spool.make_directory(f"ready/{owner}")

    # ---------------------------------------------------------------- loop

    def run(self, stop: Stop, bell: Bell, watch: Watch) -> None:
        """Ingest until asked to stop."""
        while not stop.requested:
            sweep = self._sweep_safely()
            is_armed = watch.is_armed
            self._tell(sweep, watch)
            if sweep.taken and (sweep.taken >= _MANY or not is_armed):
                watch.disarm()
                continue
            if not is_armed and watch.arm():
                continue  # what came before the watch was armed is seen by one more sweep
            watch.probe()
            stop.wait(min(sweep.next_look, self._settings.ingest.sweep_every), [bell, watch])
            bell.hear()
            watch.hear()

    def _sweep_safely(self) -> Sweep:
        try:
            return self.sweep()
        except (VolumeFault, IndexGone):
            raise  # this process ends; the janitor adopts what it leaves, by copying, while the alarm stands
        except Exception as error:  # noqa: BLE001 -- the top of the loop: log, wait, go on
            trouble("sweeping the inbox")
            time.sleep(1.0)
            return Sweep(trouble=str(error))

    def _tell(self, sweep: Sweep, watch: Watch) -> None:
        """Say, for whoever asks after the health, that a sweep was made, and what waits and whether we see."""
        self._note_blindness(watch)
        if sweep.trouble and self._pulse:
            self._pulse.complain(sweep.trouble, blind=self._blind)
        elif not sweep.trouble:
            self._longest = sweep.longest
            self._beat()

    def _note_blindness(self, watch: Watch) -> None:
        if watch.blindness:
            began = self._blind["at"] if self._blind and not self._blind["is_over"] else self._clock.boottime()
            self._blind = {"cause": watch.blindness, "at": began, "is_over": False}
        elif self._blind and not self._blind["is_over"]:
            self._blind = {**self._blind, "at": self._clock.boottime(), "is_over": True}

    def _beat(self, doing: str | None = None) -> None:
        if self._pulse:
            waiting = asdict(self._longest) if self._longest else None
            self._pulse.beat(doing, blind=self._blind, waiting=waiting)

    def drain(self, patience: float) -> int:
        """Sweep until nothing more can be taken, at most `patience` seconds after the last arrival; how many."""
        taken = 0
        deadline = self._clock.boottime() + patience
        while True:
            sweep = self.sweep()
            taken += sweep.taken
            if not sweep.taken and (not sweep.waiting or self._clock.boottime() >= deadline):
                return taken
            if not sweep.taken:
                time.sleep(min(sweep.next_look, 0.1))

    # ---------------------------------------------------------------- one sweep

    def sweep(self) -> Sweep:
        """Look at everything in the inbox once and take what is complete, in order of mtime and name."""
        sweep = Sweep()
        if self._has_no_room():
            sweep.next_look = 1.0
            return sweep
        self._ask_unsettled_again(sweep)
        self._known = self._queues()
        entries, empty = self._inbox.entries(self._known)
        payloads, sidecars = _split(entries)
        batch = self._settings.ingest.batch
        for first in range(0, len(payloads), batch):
            self._take_batch(payloads[first : first + batch], sidecars, sweep)
        self._judge_orphans(sidecars, {entry.path for entry in payloads}, sweep)
        self._remove_empty(empty)
        return sweep

    def _queues(self) -> frozenset[str]:
        """The names that make a directory a queue. With create_queues_by_mkdir any valid name does."""
        known = {queue.name for queue in self._jobqueue.index.queues()} | set(self._settings.queues)
        if self._settings.ingest.create_queues_by_mkdir:
            known |= self._make_queues(known)
        return frozenset(known)

    def _make_queues(self, known: set[str]) -> set[str]:
        made = set()
        for name in self._jobqueue.spool.entries("inbox"):
            found = self._jobqueue.spool.status(f"inbox/{name}")
            if name in known or found is None or not stat.S_ISDIR(found.st_mode):
                continue
            try:
                made.add(naming.check_queue(name))
            except PqfsError:
                continue
            with self._jobqueue.index.transaction():
                self._jobqueue.index.create_queue(name, self._clock.now())
        return made

    def _has_no_room(self) -> bool:
        low = self._jobqueue.spool.is_below(int(self._settings.low_water))
        if low != self._is_paused:
            emit(Word.PAUSED if low else Word.RESUMED, what="ingest", free=self._jobqueue.spool.free_bytes())
        self._is_paused = low
        return low

    def _take_batch(self, entries: Sequence[Entry], sidecars: dict[bytes, Entry], sweep: Sweep) -> None:
        with ExitStack() as descriptors:
            parents = self._open_parents(entries, descriptors)
            taken: list[Taken] = []
            try:
                for entry in entries:
                    if each := self._take(entry, parents, sidecars, sweep, descriptors):
                        taken.append(each)  # noqa: PERF401 -- what came before an error must be known
            except Exception:
                # What has left the inbox must not be forgotten because a later file failed.
                self._unsettled += [(each.arrival, _inbox_dir(each.entry)) for each in taken]
                raise
            settled = [each for each in taken if self._is_settled(each)]
            self._commit([each.arrival for each in settled], {_inbox_dir(each.entry) for each in settled})
        sweep.taken += len(settled)
        for each in settled:
            self._drop_sidecar(each, sidecars)

    def _commit(self, arrivals: Sequence[Arrival], directories: set[str]) -> None:
        if not arrivals:
            return
        self._beat("making files durable")
        try:
            self._jobqueue.ingest(self._owner, arrivals, sorted(directories), self._clock.now())
        except Unavailable:
            # No room, or the index is busy: the files wait in ready/<me>/ and are committed by a later sweep.
            self._unsettled += [(arrival, sorted(directories)[0]) for arrival in arrivals]
            raise
        for arrival in arrivals:
            emit(Word.INGESTED, job=arrival.id, queue=arrival.queue, name=naming.printable(arrival.name))

    def _open_parents(self, entries: Sequence[Entry], descriptors: ExitStack) -> dict[bytes, int]:
        """A descriptor of each directory that holds an entry; none for a directory that went away."""
        parents: dict[bytes, int] = {}
        for entry in entries:
            above = os.path.dirname(entry.path)
            if above not in parents:
                try:
                    parents[above] = self._inbox.open_parent(entry)
                except OSError:
                    continue
                descriptors.callback(os.close, parents[above])
        return parents

    def _take(
        self,
        entry: Entry,
        parents: dict[bytes, int],
        sidecars: dict[bytes, Entry],
        sweep: Sweep,
        descriptors: ExitStack,
    ) -> Taken | None:
        """Judge one entry and act on it: a file on its way in, or None."""
        directory = parents.get(os.path.dirname(entry.path))
        if directory is None:
            return None
        judgement = self._inbox.judge(directory, entry, self._clock.boottime())
        if judgement.descriptor is not None:
            descriptors.callback(os.close, judgement.descriptor)
        if judgement.verdict is Verdict.REJECT:
            self._reject(directory, entry, judgement.reason, sweep)
        elif judgement.verdict is Verdict.WAIT:
            self._wait_or_unghost(directory, entry, judgement, sweep)
        elif judgement.descriptor is not None:
            return self._accept(directory, entry, judgement, sidecars, sweep)
        return None

    def _accept(
        self, directory: int, entry: Entry, judgement: Judgement, sidecars: dict[bytes, Entry], sweep: Sweep
    ) -> Taken | None:
        try:
            beside = self._sidecar(entry, sidecars, sweep)
        except Rejected as error:
            self._reject(directory, entry, error.message, sweep)
            return None
        if isinstance(beside, Judgement):
            sweep.wait(beside)
            self._note_waiting(entry, beside, self._settings.queue(entry.queue).sidecar_wait(), sweep)
            return None
        assert judgement.found is not None and judgement.descriptor is not None
        arrival = self._arrival(entry, judgement.found.st_size, beside)
        taken = Taken(arrival, entry, judgement.descriptor, directory)
        return taken if self._jobqueue.take(self._owner, taken) else None

    def _arrival(self, entry: Entry, size: int, beside: Sidecar | None) -> Arrival:
        now = self._clock.now()
        queue = self._settings.queue(entry.queue)
        arrival = Arrival(self._ids.next(now), entry.queue, entry.name, size, queue.priority)
        return beside.apply(arrival, queue, now) if beside else arrival

    def _reject(self, directory: int, entry: Entry, reason: str, sweep: Sweep, job: str | None = None) -> None:
        now = self._clock.now()
        number = self._ids.next(now)
        said = {
            "name": naming.printable(entry.name), "queue": entry.queue, "reason": reason, "at": now,
            "size": entry.size, "job": job,
        }  # fmt: skip
        try:
            path = self._jobqueue.spool.reject(directory, os.path.basename(entry.path), number, said)
        except FileNotFoundError:
            return  # taken away by its producer
        sweep.rejected += 1
        emit(Word.REJECTED, name=naming.printable(entry.path), reason=reason, path=path)

    def _wait_or_unghost(self, directory: int, entry: Entry, judgement: Judgement, sweep: Sweep) -> None:
        """A second hard link that is ours is a ghost: the other end of a move that was interrupted."""
        found = judgement.found
        if found is not None and found.st_nlink == 2 and self._is_ours(found):
            self._jobqueue.spool.drop(directory, os.path.basename(entry.path))
            emit(Word.RECONCILED, ghost=naming.printable(entry.path))
            return
        sweep.wait(judgement)
        self._note_waiting(entry, judgement, None, sweep)

    def _note_waiting(self, entry: Entry, judgement: Judgement, limit: float | None, sweep: Sweep) -> None:
        """Keep the file that should have gone first."""
        now = self._clock.boottime()
        since = now - self._inbox.waited(entry, now)
        limit = None if limit == float("inf") else limit
        waiting = Waiting(naming.printable(entry.path)[:300], judgement.reason, since, limit)
        if sweep.longest is None or waiting.due < sweep.longest.due:
            sweep.longest = waiting

    def _is_ours(self, found: os.stat_result) -> bool:
        """Whether the file's other name is in our own directories; asked once a file, it means a walk."""
        spool, inode = self._jobqueue.spool, (found.st_dev, found.st_ino)
        if inode in self._foreign:
            return False
        names = [path for path, _ in spool.payloads()] + [f"rejected/{name}" for name in spool.entries("rejected")]
        twins = map(spool.status, names)
        if any(twin is not None and (twin.st_dev, twin.st_ino) == inode for twin in twins):
            return True
        self._foreign.add(inode)
        return False

    # ---------------------------------------------------------------- unsettled

    def _is_settled(self, taken: Taken) -> bool:
        if self._jobqueue.is_settled(self._owner, taken):
            return True
        self._unsettled.append((taken.arrival, _inbox_dir(taken.entry)))
        emit(Word.UNSETTLED, job=taken.arrival.id, name=naming.printable(taken.arrival.name))
        return False

    def _ask_unsettled_again(self, sweep: Sweep) -> None:
        """Files in ready/<me>/ that somebody opened for writing just before we moved them."""
        waiting, self._unsettled = self._unsettled, []
        try:
            while waiting:
                self._ask_one_again(*waiting.pop(0), sweep)
        finally:
            self._unsettled += waiting

    def _ask_one_again(self, arrival: Arrival, directory: str, sweep: Sweep) -> None:
        try:
            complete = self._jobqueue.ask_again(self._owner, arrival)
        except FileNotFoundError as error:
            emit(Word.ALARM, what="an unsettled file has gone", job=arrival.id, error=str(error))
            return
        except Rejected as error:
            parked = Parked(arrival.id, arrival.queue, naming.disk_name(arrival.name))
            self._jobqueue.refuse(self._owner, parked, error.message, self._clock.now())
            sweep.rejected += 1
            return
        except OSError:
            complete = None  # its producer has closed it to us, or we have no descriptor left: it is not forgotten
        if complete is None:
            self._unsettled.append((arrival, directory))
            sweep.next_look = min(sweep.next_look, 0.25)
        else:
            self._commit([complete], {directory})
            sweep.taken += 1

    # ---------------------------------------------------------------- sidecars

    def _sidecar(self, entry: Entry, sidecars: dict[bytes, Entry], sweep: Sweep) -> Sidecar | Judgement | None:
        """The sidecar that counts for a payload; a judgement when the payload must wait for it; None for none.

        Raises:
            Rejected: the sidecar is invalid, and both are to be rejected.
        """
        beside = sidecars.get(entry.path)
        if beside is None:
            wait = self._settings.queue(entry.queue).sidecar_wait()
            waited = self._inbox.waited(entry, self._clock.boottime())
            if waited < wait:
                return Judgement(Verdict.WAIT, "it waits for its sidecar", min(1.0, wait - waited))
            return None
        directory = self._inbox.open_parent(beside)
        try:
            judgement = self._inbox.judge(directory, beside, self._clock.boottime())
            if judgement.descriptor is None:
                reason = judgement.reason or "its sidecar has just gone"
                return Judgement(Verdict.WAIT, f"its sidecar is not complete: {reason}", judgement.retry_in)
            try:
                return self._allowed(sidecar.read(judgement.descriptor), entry)
            except Rejected as error:
                self._reject(directory, beside, error.message, sweep)
                raise
            finally:
                os.close(judgement.descriptor)
        finally:
            os.close(directory)

    def _allowed(self, found: Sidecar, entry: Entry) -> Sidecar:
        """The sidecar, unless it sends the job where it may not go, or where nobody would ever claim it."""
        if found.queue in (None, entry.queue):
            return found
        if not self._settings.queue(entry.queue).sidecar_queue:
            raise Rejected(f"its sidecar names queue {found.queue}; sidecar_queue is off for queue {entry.queue}")
        if found.queue not in self._known:
            raise Rejected(f"its sidecar names queue {found.queue}, and there is none")
        return found

    def _drop_sidecar(self, taken: Taken, sidecars: dict[bytes, Entry]) -> None:
        """Remove the sidecar that has become part of the job. It is in the row, and in meta/, by now."""
        beside = sidecars.get(taken.entry.path)
        if beside is None:
            return
        # Crash here: a sidecar without its payload; `_judge_orphans` finds the job that counted it and removes it.
        directory = self._inbox.open_parent(beside)
        try:
            self._jobqueue.spool.drop(directory, os.path.basename(beside.path))
        finally:
            os.close(directory)

    def _judge_orphans(self, sidecars: dict[bytes, Entry], payloads: set[bytes], sweep: Sweep) -> None:
        """Sidecars without a payload: early ones wait, late ones are rejected with the id of their job."""
        for path, beside in sidecars.items():
            if path in payloads:
                continue
            job = self._job_of(beside)
            waited = self._inbox.waited(beside, self._clock.boottime())
            if job is None and waited < self._settings.ingest.wait_limit:
                self._inbox.note(beside, self._clock.boottime())
                continue
            self._dispose(beside, job.id if job else None, bool(job and job.options), sweep)

    def _job_of(self, beside: Entry) -> Job | None:
        """The job that a sidecar without a payload belongs to: in its own queue, or the one that it sent it to.

        A name may come again and again: a sidecar that arrived after the job of this name had counted its own
        is early for the next one.
        """
        name = beside.name.removesuffix(SIDECAR)
        since = self._clock.now() - self._settings.ingest.wait_limit
        index = self._jobqueue.index
        job = index.job_by_name(beside.queue, name, since)
        if self._settings.queue(beside.queue).sidecar_queue:
            sent = index.job_by_name(None, name, since)
            if sent and sent.options and sent.queue == self._named_queue(beside):
                job = sent
        is_early = job and job.options and beside.ctime_ns / 1e9 > naming.id_time(job.id) + _INSTANT
        return None if is_early else job

    def _named_queue(self, beside: Entry) -> str | None:
        """The queue that an orphaned sidecar names; None when it can not be read now."""
        try:
            with ExitStack() as descriptors:
                directory = self._inbox.open_parent(beside)
                descriptors.callback(os.close, directory)
                judgement = self._inbox.judge(directory, beside, self._clock.boottime())
                if judgement.descriptor is None:
                    return None
                descriptors.callback(os.close, judgement.descriptor)
                return sidecar.read(judgement.descriptor).queue
        except (OSError, Rejected):
            return None

    def _dispose(self, beside: Entry, job: str | None, counted: bool, sweep: Sweep) -> None:
        directory = self._inbox.open_parent(beside)
        try:
            if counted:
                self._jobqueue.spool.drop(directory, os.path.basename(beside.path))
            elif job:
                self._reject(directory, beside, f"it came too late: job {job} was taken without it", sweep, job)
            else:
                self._reject(directory, beside, "its payload did not come", sweep)
        finally:
            os.close(directory)

    # ---------------------------------------------------------------- directories

    def _remove_empty(self, empty: Sequence[bytes]) -> None:
        """Remove directories that stayed empty for a while: at once would pull them from under a `cp -r`."""
        now = self._clock.boottime()
        self._empty_since = {path: self._empty_since.get(path, now) for path in empty}
        for path, since in self._empty_since.items():
            if now - since >= self._settings.ingest.empty_directory_after:
                self._jobqueue.spool.remove_directory(f"inbox/{os.fsdecode(path)}")


def _split(entries: Sequence[Entry]) -> tuple[list[Entry], dict[bytes, Entry]]:
    """Payloads, and sidecars by the path of the payload that they belong to."""
    payloads, sidecars = [], {}
    for entry in entries:
        if entry.path.endswith(SIDECAR) and len(os.path.basename(entry.path)) > len(SIDECAR):
            sidecars[entry.path.removesuffix(SIDECAR)] = entry
        else:
            payloads.append(entry)
    return payloads, sidecars


def _inbox_dir(entry: Entry) -> str:
    above = os.fsdecode(os.path.dirname(entry.path))
    return f"inbox/{above}" if above else "inbox"
