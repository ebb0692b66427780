"""Doing one thing to many jobs: ask, act one by one, say what was done and what was not, and why.

Nothing is held in memory but a few words: ids are told as they are done. Interrupted, it says how far it came; run
again, it goes on with the rest, since the state of each job is the guard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from pqfs.cli import progress, terminal
from pqfs.cli.selection import Wanted
from pqfs.errors import PqfsError
from pqfs.verbs import Bulk, Tally

if TYPE_CHECKING:
    from pqfs.wiring import App


@dataclass(frozen=True, slots=True)
class Manner:
    """How a bulk act is done: why, for show only, without a question, answering in JSON."""

    reason: str | None
    dry_run: bool
    yes: bool
    as_json: bool


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
    if not manner.as_json:
        say_left(wanted)
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
    try:
        with progress.bar(bulk.word, wanted.total) as advance:
            for job in wanted.ids():
                if manner.dry_run:
                    tally.rehearse(app.jobqueue, bulk, job)
                else:
                    tally.act(app.jobqueue, bulk, job, terminal.actor(), manner.reason, app.clock.now())
                advance(1)
        if tally.asked:
            terminal.say(f"Waiting until what runs has ended: {_jobs(len(tally.asked))} …")
            tally.await_ends(app.jobqueue)
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


def say_left(wanted: Wanted) -> None:
    """Name what fits a filter as well, and is meant only when it is named."""
    for state, count in wanted.left.items():
        terminal.say(f"  left alone: {_jobs(count)} {state}; they are meant with --state {state}")


def _jobs(count: int) -> str:
    return f"{count} job" if count == 1 else f"{count} jobs"
