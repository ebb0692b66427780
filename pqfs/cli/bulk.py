"""Doing one thing to many jobs: ask, act one by one, say what was done and what was not, and why."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from pqfs.cli import progress, terminal
from pqfs.cli.selection import CANCEL, Bulk, Wanted
from pqfs.errors import JobNotFound, PqfsError
from pqfs.model import State

if TYPE_CHECKING:
    from pqfs.model import Job
    from pqfs.wiring import App

_CANCEL_PATIENCE = 15.0  # above consume.kill_after and the poll behind a lost ring
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Manner:
    """How a bulk act is done: why, for show only, without a question, answering in JSON."""

    reason: str | None
    dry_run: bool
    yes: bool
    as_json: bool


@dataclass
class Tally:
    """What became of each job."""

    done: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # running jobs whose consumers were asked to end them
    skipped: list[tuple[str, PqfsError]] = field(default_factory=list)

    def exit_code(self) -> int:
        """0 all done; 7 some; else what the errors say: 4 when all are unknown."""
        if not self.skipped:
            return 0
        if self.done:
            return 7
        return 4 if all(isinstance(error, JobNotFound) for _, error in self.skipped) else 1


def perform(app: App, bulk: Bulk, wanted: Wanted, manner: Manner) -> None:
    """Ask, act and report; leaves with the exit code of the whole."""
    if manner.dry_run:
        _rehearse(app, bulk, wanted, manner.as_json)
        return
    if not wanted.is_one and wanted.ids:
        shown = ", ".join(wanted.ids[:_NAMED]) + (", …" if len(wanted.ids) > _NAMED else "")
        terminal.confirm(f"{bulk.word.capitalize()} {_jobs(len(wanted.ids))} ({shown})?", manner.yes)
    tally = Tally()
    with progress.bar(bulk.word, len(wanted.ids)) as advance:
        for job in wanted.ids:
            _act(app, bulk, job, manner.reason, tally)
            advance(1)
    _await_ends(app, tally)
    if wanted.is_one and tally.skipped and not manner.as_json:
        raise tally.skipped[0][1]
    _report(bulk, tally, manner.as_json)
    raise typer.Exit(tally.exit_code())


def _act(app: App, bulk: Bulk, text: str, reason: str | None, tally: Tally) -> None:
    try:
        job = app.jobqueue.job(text)
        _check(bulk, job)
        if bulk.act()(app.jobqueue, job, terminal.actor(), reason, app.clock.now()) is False:
            raise PqfsError(f"The payload of job {job.id} is on the move.", "Try again in a moment.")
    except PqfsError as error:
        tally.skipped.append((text, error))
    else:
        is_running = bulk is CANCEL and job.state is State.PROCESSING
        (tally.asked if is_running else tally.done).append(job.id)


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
                tally.skipped.append((job, why))
            case State.CANCELLED | None:
                tally.done.append(job)
            case other:
                tally.skipped.append((job, PqfsError(f"Job {job} was {other} before it could be cancelled.")))


def _state(app: App, job: str) -> State | None:
    found = app.index.job(job)
    return found.state if found else None


def _rehearse(app: App, bulk: Bulk, wanted: Wanted, as_json: bool) -> None:
    tally = Tally()
    for text in wanted.ids:
        try:
            job = app.jobqueue.job(text)
            _check(bulk, job)
            tally.done.append(job.id)
        except PqfsError as error:
            tally.skipped.append((text, error))
    _report(bulk, tally, as_json, would="would be " if bulk.word != "retry" else "would ")


def _report(bulk: Bulk, tally: Tally, as_json: bool, would: str = "") -> None:
    if as_json:
        items = [{"id": job, "done": True, "why": None} for job in tally.done]
        items += [{"id": job, "done": False, "why": error.message} for job, error in tally.skipped]
        terminal.put_json("acts", items, verb=bulk.word, dry_run=bool(would))
        return
    for job in tally.done:
        terminal.put(job)
    terminal.say(f"{_jobs(len(tally.done))} {would}{bulk.done}.")
    for job, error in tally.skipped[:20]:
        terminal.say(f"  skipped {job}: {error.message}")
    if len(tally.skipped) > 20:
        terminal.say(f"  … and {len(tally.skipped) - 20} more skipped")


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"
