"""A queue on its way to empty: nothing more comes in, what waits is worked off or deleted, what is left is deleted.

Each step is whole and can be begun again; whoever waits, waits in steps of his own. The command line and the console
both go through here, so that they allow and refuse the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pqfs.doorbell import ring
from pqfs.errors import PqfsError, Refused
from pqfs.listing import NEWEST
from pqfs.model import State
from pqfs.pulse import read_beats
from pqfs.queueing import Queueing
from pqfs.queueing import purge as purge_one
from pqfs.report import consumers

if TYPE_CHECKING:
    from pqfs.wiring import App

WAITING = (State.PENDING, State.HELD)
_BUSY = (State.PENDING, State.PROCESSING)
_COULD_COME_BACK = (State.FAILED, State.UNPROCESSABLE, State.CANCELLED)
_PAGE = 500
_ASK_EVERY = 0.1  # seconds
_SWEEP_PATIENCE = 15.0  # seconds: one that is stuck for longer takes nothing in either


class Clearing:
    """One queue, cleared by one actor for one reason."""

    def __init__(self, app: App, name: str, actor: str, reason: str | None) -> None:
        self._app = app
        self._queueing = Queueing(app.jobqueue)
        self._name, self._actor, self._reason = name, actor, reason

    def is_served(self) -> bool:
        """Whether a living consumer works it off."""
        return any(each.is_alive and each.serves(self._name) for each in consumers(self._app))

    def waiting(self) -> int:
        """How many jobs of it wait."""
        left = self._queueing.left(self._name)
        return sum(left.get(state, 0) for state in WAITING)

    def busy(self) -> int:
        """How many jobs of it wait to run, or run: what is held is not waited for."""
        left = self._queueing.left(self._name)
        return sum(left.get(state, 0) for state in _BUSY)

    def close(self, to_run: bool, pause: Callable[[float], None] = time.sleep) -> None:
        """Take nothing in; nothing is being taken in any more when this returns. `to_run`: what waits is to run.

        Raises:
            QueueNotFound: there is no such queue.
            Refused: it is paused, so that nothing of it would ever run.
        """
        now = self._app.clock.now()
        if to_run and self._queueing.queue(self._name).is_paused(now):
            raise Refused(
                f"Queue {self._name} is paused: nothing of it would run.", f"First: pqfs queue resume {self._name}"
            )
        self._queueing.close(self._name, self._actor, self._reason, now)
        self._await_sweeps(pause)

    def _await_sweeps(self, pause: Callable[[float], None]) -> None:
        """Wait until no ingester is in a sweep that began before: until each has ended two more."""
        deadline = time.monotonic() + _SWEEP_PATIENCE
        for _ in range(2):
            since = self._app.clock.boottime()
            while self._is_sweeping(since) and time.monotonic() < deadline:
                ring(self._app.spool.path("run"), "ingester")
                pause(_ASK_EVERY)

    def _is_sweeping(self, since: float) -> bool:
        """Whether a living ingester has ended no sweep since an instant (boot time)."""
        living = {each.owner for each in self._app.owners.living() if each.program.startswith("ingester")}
        beats = [beat for beat in read_beats(self._app.spool.path("run")) if beat.owner in living]
        return any(beat.at <= since or beat.doing for beat in beats)

    def purge(self) -> Iterator[tuple[str, PqfsError | None]]:
        """Delete what waits, one job after the other, each whole: its id, and why it was passed over if it was."""
        for job in self.listed(WAITING):
            try:
                done = purge_one(self._app.jobqueue, job, self._actor, self._reason, self._app.clock.now())
                yield job, None if done else PqfsError(f"Job {job} runs by now, or is on the move.")
            except PqfsError as error:
                yield job, error

    def delete_the_rest(self) -> Iterator[str]:
        """Delete what has failed or was cancelled."""
        for job in self.listed(_COULD_COME_BACK):
            found = self._app.jobqueue.job(job)
            self._app.jobqueue.delete(found, self._actor, self._reason, self._app.clock.now())
            yield job

    def delete(self) -> None:
        """Forget the queue.

        Raises:
            Refused: it is not empty, or can not be deleted.
        """
        self._queueing.delete(self._name, self._actor, self._reason, self._app.clock.now())

    def listed(self, states: Sequence[State]) -> Iterator[str]:
        """Its jobs in these states, a page at a time, newest first."""
        for state in states:
            before = NEWEST
            while page := self._app.index.jobs(state, self._name, before, _PAGE):
                yield from (job.id for job in page)
                before = min(job.id for job in page)
