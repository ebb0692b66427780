"""Doing one thing to many jobs: ask, act one by one, say what was done and what was not, and why.

Nothing is held in memory but a few words: ids are told as they are done. Interrupted, it says how far it came; run
again, it goes on with the rest, since the state of each job is the guard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from pqfs.cli import progress, terminal
from pqfs.cli.selection import CANCEL, Bulk, Wanted
from pqfs.errors import JobNotFound, PqfsError
from pqfs.model import State

if TYPE_CHECKING:
    from pqfs.model import Job
    from pqfs.wiring import App

_CANCEL_PATIENCE = 15.0  # above consume.kill_after and the poll behind a lost ring
_TOLD = 20  # jobs that were skipped and are named


@dataclass(frozen=True, slots=True)
class Manner:
    """How a bulk act is done: why, for show only, without a question, answering in JSON."""

    reason: str | None
    dry_run: bool
    yes: bool
    as_json: bool


@dataclass
class Tally:
    """What became of the jobs; each is told as it is known, the first that were skipped are kept to be named."""

    tell: Callable[[str, PqfsError | None], None]
    done: int = 0
    skipped: int = 0
    unknown: int = 0
    first: list[tuple[str, PqfsError]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # running jobs whose consumers were asked to end them

    def note(self, job: str, error: PqfsError | None = None) -> None:
        """One more: done, or skipped because of the error."""
        self.tell(job, error)
        if error is None:
            self.done += 1
            return
        self.skipped += 1
        self.unknown += isinstance(error, JobNotFound)
        if len(self.first) < _TOLD:
            self.first.append((job, error))

    def exit_code(self) -> int:
        """0 all done; 7 some; else what the errors say: 4 when all are unknown."""
        if not self.skipped:
            return 0
        if self.done:
            return 7
        return 4 if self.unknown == self.skipped else 1


def perform(app: App, bulk: Bulk, wanted: Wanted, manner: Manner) -> None:
    """Ask, act and report; leaves with the exit code of the whole."""
    if not manner.dry_run and not wanted.is_one and wanted.total != 0:
        ask(bulk.word, wanted, manner.yes)
    with ExitStack() as stack:
        tell = stack.enter_context(telling(manner.as_json, verb=bulk.word, dry_run=manner.dry_run))
        tally = Tally(tell)
        carry_out(app, bulk, wanted, manner, tally)
    if wanted.is_one and tally.first and not manner.as_json:
        raise tally.first[0][1]
    report(bulk, tally, manner)
    raise typer.Exit(tally.exit_code())


def ask(word: str, wanted: Wanted, yes: bool) -> None:
    """Whether it is meant.

    Raises:
        Unconfirmed, Declined: it is not, or nobody is there to say.
    """
    more = ", …" if wanted.total is None or wanted.total > len(wanted.first) else ""
    terminal.confirm(f"{word.capitalize()} {wanted.number} ({', '.join(wanted.first)}{more})?", yes)


def carry_out(app: App, bulk: Bulk, wanted: Wanted, manner: Manner, tally: Tally) -> None:
    """Do it to each, or only look; `tally` is told of each."""
    do = _rehearse if manner.dry_run else _act
    try:
        with progress.bar(bulk.word, wanted.total) as advance:
            for job in wanted.ids():
                do(app, bulk, job, manner.reason, tally)
                advance(1)
        _await_ends(app, tally)
    except KeyboardInterrupt:
        terminal.say(f"Interrupted: {_jobs(tally.done)} {bulk.done}. Run it again for the rest.")
        raise


def telling(as_json: bool, **fields: Any) -> Any:
    """A context that gives a function to tell of each job: its id on a line, or an item of one JSON object."""
    return _JsonActs(fields) if as_json else _Lines()


class _Lines:
    """Ids of what was done, one a line."""

    def __enter__(self) -> Callable[[str, PqfsError | None], None]:
        return self._tell

    def __exit__(self, *error: object) -> None:
        """Nothing is left to be written."""

    def _tell(self, job: str, error: PqfsError | None) -> None:
        if error is None:
            terminal.put(job)


class _JsonActs:
    """Everything, as one JSON object that is written while it grows."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._items = terminal.JsonItems("acts", fields)

    def __enter__(self) -> Callable[[str, PqfsError | None], None]:
        self._items.begin()
        return lambda job, error: self._items.add({"id": job, "done": error is None, "why": _why(error)})

    def __exit__(self, *error: object) -> None:
        self._items.end()


def _why(error: PqfsError | None) -> str | None:
    return None if error is None else error.message


def _act(app: App, bulk: Bulk, text: str, reason: str | None, tally: Tally) -> None:
    try:
        job = app.jobqueue.job(text)
        _check(bulk, job)
        if bulk.act(app.jobqueue, job, terminal.actor(), reason, app.clock.now()) is False:
            raise PqfsError(f"The payload of job {job.id} is on the move.", "Try again in a moment.")
    except PqfsError as error:
        tally.note(text, error)
        return
    if bulk is CANCEL and job.state is State.PROCESSING:
        tally.asked.append(job.id)
    else:
        tally.note(job.id)


def _rehearse(app: App, bulk: Bulk, text: str, reason: str | None, tally: Tally) -> None:
    try:
        job = app.jobqueue.job(text)
        _check(bulk, job)
    except PqfsError as error:
        tally.note(text, error)
    else:
        tally.note(job.id)


def _check(bulk: Bulk, job: Job) -> None:
    """The states table of a person's verbs is narrower than that of attempts: nobody releases what runs."""
    from pqfs.errors import IllegalTransition

    if job.state not in bulk.states:
        raise IllegalTransition(job.id, job.state, bulk.word)


def _await_ends(app: App, tally: Tally) -> None:
    """Wait until the attempts that were asked to end have ended."""
    if not tally.asked:
        return
    terminal.say(f"Waiting until what runs has ended: {_jobs(len(tally.asked))} …")
    deadline = time.monotonic() + _CANCEL_PATIENCE
    while any(_state(app, job) is State.PROCESSING for job in tally.asked) and time.monotonic() < deadline:
        time.sleep(0.05)
    for job in tally.asked:
        match _state(app, job):
            case State.PROCESSING:
                why = PqfsError(f"Job {job} has been asked to end and still runs.", f"See: pqfs why {job}")
                tally.note(job, why)
            case State.CANCELLED | None:
                tally.note(job)
            case other:
                tally.note(job, PqfsError(f"Job {job} was {other} before it could be cancelled."))


def _state(app: App, job: str) -> State | None:
    found = app.index.job(job)
    return found.state if found else None


def report(bulk: Bulk, tally: Tally, manner: Manner) -> None:
    """Say how many, and what was skipped and why."""
    if manner.as_json:
        return
    terminal.say(f"{_jobs(tally.done)} {bulk.would if manner.dry_run else ''}{bulk.done}.")
    say_skipped(tally.first, tally.skipped)


def say_skipped(first: Iterable[tuple[str, PqfsError]], skipped: int) -> None:
    """Name the first that were skipped, and how many more there are."""
    named = list(first)
    for job, error in named:
        terminal.say(f"  skipped {job}: {error.message}")
    if skipped > len(named):
        terminal.say(f"  … and {skipped - len(named)} more skipped")


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"
