"""What people can do to many jobs at once: each verb with the states that it is for, and doing it to one of them.

The command line and the console both act through this table, so that they allow and refuse the same. The state of
each job is the guard: what was interrupted is begun again, what has changed meanwhile is passed over with a reason.

`now` is an argument: Unix seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pqfs.errors import IllegalTransition, JobNotFound, PqfsError
from pqfs.model import FINAL, Job, State

if TYPE_CHECKING:
    from pqfs.jobqueue import JobQueue

    Act = Callable[[JobQueue, Job, str, str | None, float], object]

_NAMED = 20  # jobs that were skipped and are named
_POLL = 0.05  # seconds
_PATIENCE = 15.0  # above consume.kill_after and the poll behind a lost ring


@dataclass(frozen=True, slots=True)
class Bulk:
    """A verb for people: how it is said, what it is done to, the states that a filter means by itself, and the act.

    `group` is the command that it stands below. `would` goes before `done` where nothing is done yet. An act that
    answers False has found the payload on its way.
    """

    word: str
    done: str
    states: tuple[State, ...]
    usual: tuple[State, ...]
    act: Act
    would: str = "would be "
    group: str = "jobs"


_DEAD = (State.FAILED, State.UNPROCESSABLE)
_WAITING = (State.PENDING, State.HELD)
_ENDED = tuple(state for state in State if state in FINAL)
RETRY = Bulk("retry", "wait again", (*_DEAD, State.CANCELLED), _DEAD, lambda q, *how: q.redrive(*how), "would ")
CANCEL = Bulk("cancel", "cancelled", (*_WAITING, State.PROCESSING), _WAITING, lambda q, *how: q.cancel(*how))
HOLD = Bulk("hold", "held", (State.PENDING,), (State.PENDING,), lambda q, *how: q.hold(*how))
RELEASE = Bulk("release", "released", (State.HELD,), (State.HELD,), lambda q, *how: q.release(*how))
FAIL = Bulk("fail", "marked failed", _WAITING, _WAITING, lambda q, *how: q.fail(*how))
DELETE = Bulk("delete", "deleted", _ENDED, _ENDED, lambda q, *how: q.delete(*how))
DISCARD = Bulk("delete", "without their inputs", _ENDED, _ENDED, lambda q, *how: q.discard(*how), "would be ")
FORGET = Bulk("delete", "forgotten", _ENDED, _ENDED, lambda q, *how: q.forget(*how))
REDRIVE = Bulk("redrive", "wait again", _DEAD, _DEAD, lambda q, *how: q.redrive(*how), "would ", "dead")
PURGE = Bulk("purge", "purged", _DEAD, _DEAD, lambda q, *how: q.delete(*how), group="dead")
REPLAY = Bulk("replay", "made anew", _ENDED, (State.COMPLETED,), lambda q, *how: None, group="")
EXPORT = Bulk("export", "exported", _DEAD, _DEAD, lambda q, *how: None, group="dead")

MAKE_ROOM = (DELETE, DISCARD, FORGET, PURGE)


def to_priority(priority: int) -> Bulk:
    """Give waiting jobs this priority."""

    def act(queue: JobQueue, job: Job, actor: str, reason: str | None, now: float) -> object:
        return queue.prioritise(job, priority, actor, reason, now)

    return Bulk("priority", f"of priority {priority}", _WAITING, _WAITING, act)


def to_instant(ready_at: float) -> Bulk:
    """Let waiting jobs run no sooner than at an instant."""

    def act(queue: JobQueue, job: Job, actor: str, reason: str | None, now: float) -> object:
        return queue.reschedule(job, ready_at, actor, reason, now)

    return Bulk("reschedule", "rescheduled", _WAITING, _WAITING, act)


class Spread:
    """Redrives one job after the other, each due a little later: by `ready_at`, so nobody has to stay for it.

    `rate`: so many a second; None: all at once.
    """

    def __init__(self, rate: float | None) -> None:
        self._pause = 1.0 / rate if rate else 0.0
        self._next = 0.0

    def __call__(self, queue: JobQueue, job: Job, actor: str, reason: str | None, now: float) -> object:
        """The act of a bulk verb."""
        due = max(now, self._next)
        redriven = queue.redrive(job, actor, reason, now, due if self._pause else 0.0)
        self._next = due + self._pause
        return redriven


# -------------------------------------------------------------------- one of many


def check(bulk: Bulk, job: Job) -> None:
    """Refuse a job that the verb is not for. Narrower than the states' table: nobody releases what runs.

    Raises:
        IllegalTransition: its state is none of the verb's.
    """
    if job.state not in bulk.states:
        raise IllegalTransition(job.id, job.state, bulk.word)


def carry_out(queue: JobQueue, bulk: Bulk, text: str, actor: str, reason: str | None, now: float) -> Job:
    """Do it to the job of this id; the job as it was before.

    Raises:
        PqfsError: why it was not done, in words.
    """
    job = queue.job(text)
    check(bulk, job)

    def act() -> object:
        return bulk.act(queue, job, actor, reason, now)

    if (queue.spool.make_room(act) if bulk in MAKE_ROOM else act()) is False:
        raise PqfsError(f"The payload of job {job.id} is on the move.", "Try again in a moment.")
    return job


@dataclass
class Tally:
    """What became of the jobs; each is told as it is known, the first that were skipped are kept to be named.

    `asked`: running jobs whose consumers were asked to end them; what became of those is noted at last.
    """

    tell: Callable[[str, PqfsError | None], None]
    done: int = 0
    skipped: int = 0
    unknown: int = 0
    first: list[tuple[str, PqfsError]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def note(self, job: str, error: PqfsError | None = None) -> None:
        """One more: done, or skipped because of the error."""
        self.tell(job, error)
        if error is None:
            self.done += 1
            return
        self.skipped += 1
        self.unknown += isinstance(error, JobNotFound)
        if len(self.first) < _NAMED:
            self.first.append((job, error))

    def exit_code(self) -> int:
        """0 all done; 7 some; else what the errors say: 4 when all are unknown."""
        if not self.skipped:
            return 0
        if self.done:
            return 7
        return 4 if self.unknown == self.skipped else 1

    def act(self, queue: JobQueue, bulk: Bulk, text: str, actor: str, reason: str | None, now: float) -> None:
        """Do it to the job of this id, and note what became of it."""
        try:
            job = carry_out(queue, bulk, text, actor, reason, now)
        except PqfsError as error:
            self.note(text, error)
            return
        if bulk is CANCEL and job.state is State.PROCESSING:
            self.asked.append(job.id)
        else:
            self.note(job.id)

    def rehearse(self, queue: JobQueue, bulk: Bulk, text: str) -> None:
        """Only look whether it could be done."""
        try:
            job = queue.job(text)
            check(bulk, job)
        except PqfsError as error:
            self.note(text, error)
        else:
            self.note(job.id)

    def await_ends(self, queue: JobQueue, patience: float = _PATIENCE) -> None:
        """Wait until what was asked to end has ended, and note what became of it."""
        deadline = time.monotonic() + patience
        waiting = self.asked
        while waiting and time.monotonic() < deadline:
            waiting = [each for each in waiting if not self._note_end(queue, each)]
            if waiting:
                time.sleep(_POLL)
        for job in waiting:
            self.note(job, PqfsError(f"Job {job} has been asked to end and still runs.", f"See: pqfs why {job}"))

    def _note_end(self, queue: JobQueue, job: str) -> bool:
        """Whether it has ended; noted."""
        found = queue.index.job(job)
        if found is not None and found.state is State.PROCESSING:
            return False
        if found is None or found.state is State.CANCELLED:
            self.note(job)
        else:
            self.note(job, PqfsError(f"Job {job} was {found.state} before it could be cancelled."))
        return True
