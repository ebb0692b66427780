"""Does what the findings of fsck say that `--repair` does. Each act asks again before it changes anything.

Nothing that a person may miss is removed: what has no place is put into rejected/, with a reason. What the dead
left is the janitor's look, which comes before; here is the rest. Safe while everything runs.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from pqfs import naming
from pqfs.clock import Clock
from pqfs.flaws import Finding, Flaw
from pqfs.index.census import Census
from pqfs.jobqueue import JobQueue
from pqfs.model import FINAL, Job, State
from pqfs.naming import JobIds
from pqfs.owners import Owners
from pqfs.rebuild import Rebuild
from pqfs.recovery import Recovery

_ACTOR = "fsck"


class Mending:
    """Repairs findings of one spool."""

    def __init__(self, jobqueue: JobQueue, recovery: Recovery, owners: Owners, clock: Clock) -> None:
        self._jobqueue = jobqueue
        self._spool = jobqueue.spool
        self._index = jobqueue.index
        self._census = Census(jobqueue.index.engine)
        self._recovery = recovery
        self._rebuild = Rebuild(jobqueue, owners, clock)
        self._clock = clock
        self._ids = JobIds()

    def mend(self, finding: Finding) -> bool:
        """Repair one finding; whether anything was done. Nothing is done to what is left to a person."""
        act = self._acts().get(finding.flaw)
        return act is not None and act(finding)

    def _acts(self) -> dict[Flaw, Callable[[Finding], bool]]:
        return {
            Flaw.COUNTS_DIFFER: self._recount,
            Flaw.STATS_ODD: self._forget_stats,
            Flaw.PAYLOAD_MISSING: self._let_be_missing,
            Flaw.PAYLOAD_EXCHANGED: self._take_out,
            Flaw.SIZE_DIFFERS: self._take_size,
            Flaw.NOT_PUBLISHED: self._publish,
            Flaw.PAYLOAD_MISPLACED: self._bring_home,
            Flaw.PAYLOAD_TWICE: self._part,
            Flaw.PAYLOAD_KEPT: self._refuse,
            Flaw.PAYLOAD_UNKNOWN: lambda finding: bool(self._rebuild.register([str(finding.path)])),
            Flaw.OUTPUT_UNKNOWN: lambda finding: bool(self._rebuild.register_outputs([str(finding.path)])),
            Flaw.OUTPUT_TWICE: self._refuse,
            Flaw.OUTPUT_STRAY: self._send_to_its_queue,
            Flaw.RUN_LEFTOVER: self._remove,
            Flaw.META_ORPHAN: self._remove,
            Flaw.REASON_MISSING: self._explain,
            Flaw.REASON_ALONE: self._remove,
        }

    # ---------------------------------------------------------------- the index alone

    def _recount(self, finding: Finding) -> bool:
        with self._index.transaction():
            self._census.recount()
        return True

    def _forget_stats(self, finding: Finding) -> bool:
        with self._index.transaction():
            self._census.forget_odd_stats(self._clock.now())
        return True

    # ---------------------------------------------------------------- payloads

    def _let_be_missing(self, finding: Finding) -> bool:
        """A waiting job fails as lost; of one that has ended it is noted that its input is gone."""
        job = self._index.job(str(finding.job))
        if job is None or self._spool.exists(str(finding.path)):
            return False
        if job.state not in FINAL:
            self._recovery.mourn(job)
            job = self._index.job(job.id)
        return job is not None and self._note_gone(job)

    def _note_gone(self, job: Job) -> bool:
        with self._index.transaction():
            noted = job.state in FINAL and self._census.note_gone(job)
            if noted:
                self._event(job, "payload gone", None)
        return noted

    def _take_out(self, finding: Finding) -> bool:
        """What lies in place of a payload is refused; the job is one without a payload from then on."""
        job, path = self._index.job(str(finding.job)), str(finding.path)
        found = self._spool.status(path)
        if found is None or stat.S_ISREG(found.st_mode):
            return False
        self._refuse(finding)
        if job and job.state is not State.PROCESSING and self._spool.payload_path(job) == path:
            self._let_be_missing(finding)
        return True

    def _take_size(self, finding: Finding) -> bool:
        job, found = self._index.job(str(finding.job)), self._spool.status(str(finding.path))
        if job is None or found is None:
            return False
        with self._index.transaction():
            self._event(job, "size noted", f"it was {job.size} bytes, it is {found.st_size}")
            return self._census.note_size(job, found.st_size)

    def _bring_home(self, finding: Finding) -> bool:
        job, path = self._index.job(str(finding.job)), str(finding.path)
        if job is None or job.state is State.PROCESSING:
            return False
        if path.startswith("done/") and job.state in (State.PENDING, State.HELD):
            return self._recovery.was_completed(job)
        self._spool.make_directory(os.path.dirname(self._spool.payload_path(job)))
        return not self._recovery.bring_home(path, job).is_empty

    def _part(self, finding: Finding) -> bool:
        """Two names of one file are an interrupted move; two files are two payloads, and the row has named one."""
        job, path = self._index.job(str(finding.job)), str(finding.path)
        if job is None or job.state is State.PROCESSING:
            return False
        here, there = self._spool.status(path), self._spool.status(self._spool.payload_path(job))
        if here is None or there is None:
            return False
        return self._spool.remove(path) if os.path.samestat(here, there) else self._refuse(finding)

    def _refuse(self, finding: Finding) -> bool:
        path = str(finding.path)
        found = self._spool.status(path)
        if found is None:
            return False
        name = _original(path)
        reason = {
            "name": naming.printable(name), "queue": "default", "at": self._clock.now(), "size": found.st_size,
            "reason": f"found by fsck at {path}: {finding.name}, {finding.explanation}", "job": finding.job,
        }  # fmt: skip
        self._spool.refuse(path, name, self._ids.next(self._clock.now()), reason)
        return True

    # ---------------------------------------------------------------- outputs

    def _publish(self, finding: Finding) -> bool:
        job = self._index.job(str(finding.job))
        return job is not None and job.state is State.COMPLETED and self._spool.publish(str(job.owner), job)

    def _send_to_its_queue(self, finding: Finding) -> bool:
        job = self._index.job(str(finding.job))
        if job is None or job.output is None:
            return False
        return self._spool.move(str(finding.path), self._spool.output_path(job.queue, job.output))

    # ---------------------------------------------------------------- small files

    def _remove(self, finding: Finding) -> bool:
        return self._spool.remove(str(finding.path))

    def _explain(self, finding: Finding) -> bool:
        name = str(finding.path).rpartition("/")[2]
        found = self._spool.status(str(finding.path))
        self._spool.explain_refusal(
            name[:12],
            {
                "name": name[13:], "queue": "default", "at": self._clock.now(), "size": found.st_size if found else 0,
                "reason": "its reason was lost; found alone by fsck", "job": None,
            },
        )  # fmt: skip
        return True

    def _event(self, job: Job, verb: str, reason: str | None) -> None:
        self._index.add_event(self._clock.now(), _ACTOR, verb, job=job.id, reason=reason, before=job.state)


def _original(path: str) -> bytes:
    """What a payload, or whatever lies in place of one, was called by its producer."""
    name = path.rpartition("/")[2]
    parsed = naming.parse_claimed(name) or naming.parse_parked(name) or naming.parse_output(name)
    return naming.original(parsed.name) if parsed else os.fsencode(name)
