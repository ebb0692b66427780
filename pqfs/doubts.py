"""What a consumer can not rely on: that a queue's handler can be run here, and that it has heard of all its leases.

A queue whose handler is not there is set aside for a minute, at no job's cost. After trouble there may be leases of
ours whose claim was committed and its answer lost: they are asked for and run.
"""

from __future__ import annotations

from pqfs.clock import Clock
from pqfs.events import Word, emit
from pqfs.holding import Holding
from pqfs.jobqueue import JobQueue
from pqfs.model import State

_ASIDE = 60.0  # seconds without claims from a queue whose handler can not be run here
_NEXT_TRY = 10.0  # seconds within which it is known again whether it can


class Doubts:
    """One consumer's."""

    def __init__(self, jobqueue: JobQueue, holding: Holding, owner: str, clock: Clock) -> None:
        self._jobqueue = jobqueue
        self._holding = holding
        self._owner = owner
        self._clock = clock
        self.is_unsure = False  # whether there may be leases of ours that we have not heard of
        self.has_set_aside = False  # a queue, since the pauses were heeded last

    def recall(self) -> None:
        """Run what is leased to us and we do not know of: its claim was committed, and the answer got lost.

        Nobody else would: we live. Who drains leaves it to recovery, which gives it back as soon as we are gone.
        """
        known = {*self._holding.outstanding, *(job.id for job, _ in self._holding.ended)}
        ours = self._jobqueue.index.unconfirmed_of(self._owner)
        self.is_unsure = False
        if forgotten := [job for job in ours if job.state is State.PROCESSING and job.id not in known]:
            self._holding.remember(forgotten)

    def set_aside(self, queue: str, why: str) -> None:
        """No job of this queue can be run here, so none is tried before somebody has had time to mend that."""
        now = self._clock.now()
        if queue not in self._jobqueue.terms.aside(now):
            emit(Word.ALARM, what=f"the handler of queue {queue} can not be run; next try in {_ASIDE:g} s", cause=why)
            self._jobqueue.terms.set_aside(queue, now + _ASIDE, why)
            self.has_set_aside = True

    def unfit(self) -> dict[str, str]:
        """The queues that are set aside, and why; between two tries it is no news that the first is over."""
        return self._jobqueue.terms.aside(self._clock.now() - _NEXT_TRY)

    def heed_pauses(self) -> None:
        """Give back what waits for the runner when a queue of it was paused: nothing of that may start any more."""
        self.has_set_aside = False
        if len(self._holding.outstanding) < 2:
            return
        self._jobqueue.terms.look()
        paused = self._jobqueue.terms.shut(self._clock.now())
        if any(job.queue in paused for job in self._holding.waiting()):
            self._holding.give_back("a queue was paused or set aside")
