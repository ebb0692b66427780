"""What was acknowledged to people during one history, and whether it is still true."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pqfs.model import FINAL, Job, State
from pqfs.naming import output_id12
from tests.simulation.universe import Universe
from tests.world import published


class Ledger:
    """Kept outside the spool, by those who were told."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._files = 0
        self.submitted: set[str] = set()
        self.scanned: dict[bytes, dict[bytes, bytes]] = {}  # sets that were dropped, durably: job's name -> files
        self.completed: dict[str, str] = {}
        self._attempts: dict[str, int] = {}
        self._latest: dict[str, float] = {}  # when a job was last seen to have ended, by the clock's highest reading
        self._rows: dict[str, Job] = {}  # at the last look
        self._asked: set[str] = set()  # jobs whose deletion somebody has asked for
        self._deleted: set[str] = set()
        self._turns: Counter[str] = Counter()  # how many verbs each job has been asked for
        self._held: set[str] = set()
        self._ended: dict[str, State] = {}  # cancelled or failed by a person
        self._cancelled: dict[str, int] = {}  # asked to be cancelled while this attempt ran

    def new_file(self) -> tuple[bytes, bytes]:
        """A name never used before, and bytes."""
        self._files += 1
        name = b"%d.txt" % self._files
        return name, b"payload of " + name

    # ---------------------------------------------------------------- what was told

    def is_about_to(self, verb: str, job: Job) -> int:
        """From now on what an earlier verb had brought about may be changed; the number of this act."""
        self._turns[job.id] += 1
        self._held.discard(job.id)
        self._ended.pop(job.id, None)
        if verb in ("redrive", "delete"):
            self._cancelled.pop(job.id, None)
        if verb == "delete" and job.state in FINAL:
            self._asked.add(job.id)
            self._universe.deleted.add(job.name)
        return self._turns[job.id]

    def acknowledged(self, verb: str, job: Job, answer: Job | bool, turn: int) -> None:
        """A person was told that it is done. What another has begun since may have undone it already."""
        if turn != self._turns[job.id]:
            return
        if verb == "delete":
            if answer:
                self._deleted.add(job.id)
        elif verb == "hold":
            self._held.add(job.id)
        elif verb == "cancel" and job.state is State.PROCESSING:
            assert isinstance(answer, Job)
            self._cancelled[job.id] = answer.attempt
        elif verb in ("cancel", "fail"):
            self._ended[job.id] = State.CANCELLED if verb == "cancel" else State.FAILED

    # ---------------------------------------------------------------- whether it is true

    def look(self) -> None:
        """Note what has been completed, what attempts were granted, and what retention has removed."""
        before, self._rows = self._rows, self._universe.jobs()
        for job_id in before.keys() - self._rows.keys() - self._asked:
            self._forgotten(before[job_id])
        for job in self._rows.values():
            self._attempts[job.id] = max(job.attempt, self._attempts.get(job.id, 0))
            if job.state is State.COMPLETED and job.output:
                self.completed.setdefault(job.id, job.output)
            if job.state in FINAL:
                self._latest[job.id] = max(self._universe.clock.now(), self._latest.get(job.id, 0.0))

    def power_is_lost(self) -> None:
        """A claim that nothing has followed may be taken back, and its number be given again."""
        self.look()
        for job in self._rows.values():
            if job.state is State.PROCESSING:
                self._attempts[job.id] = job.attempt - 1

    def _forgotten(self, job: Job) -> None:
        """A row that went without a person's wish: retention did it, and only when its time was over."""
        assert job.state in FINAL, f"the row of job {job.id} is gone; it was {job.state}"
        kept = self._universe.settings.keep.seconds("cancelled" if job.state is State.CANCELLED else "dead")
        # Race: the clock was set back after the purge had begun.
        age = max(self._latest[job.id], self._universe.clock.now()) - job.updated_at
        assert age > kept, f"job {job.id} was to be kept {kept:g} s, and is gone after {age:g}"
        self._asked.add(job.id)
        self._universe.deleted.add(job.name)

    def check(self) -> None:
        """Fail, naming what is no longer true."""
        self.look()
        wrong = list(self._broken(self._universe.jobs()))
        assert not wrong, "what was acknowledged is not true any more:\n  " + "\n  ".join(wrong)

    def _broken(self, jobs: dict[str, Job]) -> Iterator[str]:
        for job_id in self.submitted - self._asked - set(jobs):
            yield f"job {job_id} was submitted and has no row"
        for job_id in self._deleted & set(jobs):
            yield f"job {job_id} was deleted and is there again: {jobs[job_id].state}"
        for job_id, output in self.completed.items():
            job = jobs.get(job_id)
            if job is None and job_id not in self._asked:
                yield f"job {job_id} was completed and has no row"
            elif job and (job.state, job.output) != (State.COMPLETED, output):
                yield f"job {job_id} was completed as {output} and is {job.state}, {job.output}"
        for job_id, attempt in self._attempts.items():
            if job_id in jobs and jobs[job_id].attempt < attempt:
                yield f"job {job_id} was at attempt {attempt} and is at {jobs[job_id].attempt}"
        yield from self._steered(jobs)

    def _steered(self, jobs: dict[str, Job]) -> Iterator[str]:
        for job_id in self._held - self._asked:
            if jobs[job_id].state is not State.HELD:
                yield f"job {job_id} was held and is {jobs[job_id].state}"
        for job_id, state in self._ended.items():
            if job_id not in self._asked and jobs[job_id].state is not state:
                yield f"job {job_id} was {state} by a person and is {jobs[job_id].state}"
        for job_id, attempt in self._cancelled.items():
            if job_id in jobs and jobs[job_id].attempt > attempt:
                yield f"job {job_id} was to be cancelled at attempt {attempt} and was run again"

    def check_sets(self) -> None:
        """What was dropped together is one job, of exactly these files, unless somebody wanted it deleted."""
        spool, jobs = self._universe.spool, list(self._universe.jobs().values())
        for name, files in self.scanned.items():
            made = [job for job in jobs if job.name == name]
            assert len(made) == 1 or (not made and name in self._universe.deleted), f"{name!r} is {len(made)} jobs"
            left = [each for each in files if spool.exists(f"inbox/scans/{os.fsdecode(each)}")]
            assert not left, f"{left} of {name!r} are in the inbox still"
            for path in spool.find(made[0].id) if made else ():
                assert _unpacked(spool.path(path)) == files, f"{name!r} has other files in {path}"

    def check_published(self) -> None:
        """An output without a completed row never exists, at no instant."""
        for output in filter(output_id12, (name for _, name, _ in published(self._universe.spool))):
            job = self._universe.index.job_by_output(output)
            if job is None and any(known == output for known in self.completed.values()):
                continue  # its row was deleted
            assert job is not None and job.state is State.COMPLETED, f"{output} is published and no row says so"
            assert self.completed.setdefault(job.id, output) == output, f"{job.id} has two outputs"


def _unpacked(path: Path) -> dict[bytes, bytes]:
    with tarfile.open(path) as tar:
        return {os.fsencode(head.name): tar.extractfile(head).read() for head in tar}  # type: ignore[union-attr]
