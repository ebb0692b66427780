"""Lets everybody claim what was assigned to one consumer, once that one is gone.

A consumer that is started again, after a crash or for new settings, is away for seconds: its jobs wait for it for as
long as a lease lasts. One that lives and does not serve their queue will never take them.
"""

from __future__ import annotations

from pqfs.clock import Clock
from pqfs.errors import ConsumerNotFound, IllegalTransition, Refused
from pqfs.events import Word, emit
from pqfs.index import Consumer
from pqfs.jobqueue import JobQueue
from pqfs.model import Job
from pqfs.owners import Life, Owners
from pqfs.report import Source, consumers

_CHUNK = 500  # jobs of one consumer and queue that are looked at in one pass


def refuse_program(source: Source, job: Job, program: str) -> None:
    """Refuse to assign a job to who would never claim it.

    Raises:
        ConsumerNotFound: no such consumer lives.
        Refused: it does not serve the job's queue.
    """
    alive = [each for each in consumers(source) if each.is_alive]
    named = [each for each in alive if each.program == program]
    if not named:
        raise ConsumerNotFound(program, sorted({each.program for each in alive}))
    if not any(each.serves(job.queue) for each in named):
        raise Refused(
            f"{program} does not serve queue {job.queue}.",
            f"One that does: pqfs consumers scale N -q {job.queue}",
        )


class Assignments:
    """The janitor's eye on assigned jobs: one look costs one question while there are none."""

    def __init__(self, jobqueue: JobQueue, owners: Owners, clock: Clock) -> None:
        self._jobqueue = jobqueue
        self._index = jobqueue.index
        self._owners = owners
        self._clock = clock
        self._gone_since: dict[str, float] = {}  # program -> boot time

    def look(self) -> int:
        """Free what nobody will claim; how many jobs."""
        assignments = self._index.assignments()
        if not assignments:
            self._gone_since.clear()
            return 0
        alive = [each for each in self._index.consumers() if self._owners.life(each.owner) is not Life.DEAD]
        self._note_gone({program for program, _ in assignments} - {each.program for each in alive})
        return sum(self._free(program, queue, alive) for program, queue in assignments)

    def _note_gone(self, gone: set[str]) -> None:
        now = self._clock.boottime()
        self._gone_since = {program: self._gone_since.get(program, now) for program in gone}

    def _free(self, program: str, queue: str, alive: list[Consumer]) -> int:
        why = self._why_never(program, queue, [each for each in alive if each.program == program])
        if why is None:
            return 0
        return sum(self._free_one(job, why) for job in self._index.assigned(program, queue, _CHUNK))

    def _why_never(self, program: str, queue: str, alive: list[Consumer]) -> str | None:
        """Why this program will not claim jobs of this queue; None while it may."""
        if not alive:
            patience = self._jobqueue.settings.consume.lease
            is_over = self._clock.boottime() - self._gone_since[program] >= patience
            return f"{program} is gone" if is_over else None
        is_served = any(each.queues is None or queue in each.queues for each in alive)
        return None if is_served else f"{program} does not serve queue {queue}"

    def _free_one(self, job: Job, why: str) -> bool:
        try:
            self._jobqueue.assign(job, None, "janitor", why, self._clock.now())
        except IllegalTransition:
            return False  # somebody was quicker
        emit(Word.RELEASED, job=job.id, what=f"it was assigned to one consumer: {why}")
        return True
