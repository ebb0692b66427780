"""`pqfs dead redrive`: dead letters wait again; spread over time, or one first and then the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import typer

from pqfs.cli import bulk, terminal
from pqfs.cli.awaiting import await_ends
from pqfs.cli.selection import Wanted
from pqfs.errors import PqfsError
from pqfs.model import State
from pqfs.verbs import REDRIVE, Spread, Tally

if TYPE_CHECKING:
    from pqfs.wiring import App


@dataclass(frozen=True, slots=True)
class Care:
    """How carefully: so many a second, one first, and how long that one is waited for."""

    rate: float | None
    canary: bool
    patience: float


def redrive(app: App, wanted: Wanted, manner: bulk.Manner, care: Care) -> None:
    """Ask, redrive and report; leaves with the exit code of the whole: 7 when the canary was not completed."""
    if not manner.dry_run and not wanted.is_one and wanted.total != 0:
        bulk.ask(REDRIVE.word, wanted, manner.yes)
    verb = replace(REDRIVE, act=Spread(care.rate))
    with bulk.telling(manner.as_json, verb=verb.word, dry_run=manner.dry_run) as tell:
        tally = Tally(tell)
        if care.canary and not manner.dry_run:
            wanted = _after_canary(app, wanted, manner, care, tally)
        bulk.carry_out(app, verb, wanted, manner, tally)
    if wanted.is_one and tally.first and not manner.as_json:
        raise tally.first[0][1]
    bulk.report(verb, tally, manner)
    raise typer.Exit(tally.exit_code())


def _after_canary(app: App, wanted: Wanted, manner: bulk.Manner, care: Care, tally: Tally) -> Wanted:
    """Redrive the first and wait for its end; what is left to be done.

    Raises:
        CanaryFailed: it was not completed; nothing else was changed.
        TimedOut: it has not ended.
    """
    first = _first_redriven(app, wanted, manner, tally)
    if first is None:
        return replace(wanted, ids=lambda: iter(()), total=0)
    terminal.say(f"The first is {first}; waiting for its end …")
    await_ends(app, [first], care.patience)
    job = app.index.job(first)
    if job is None or job.state is not State.COMPLETED:
        raise CanaryFailed(first, str(job.state) if job else "deleted", job.error if job else None)
    terminal.say("It was completed: the rest follows.")
    left = None if wanted.total is None else wanted.total - 1
    return replace(wanted, ids=lambda: _without(wanted, first), total=left, is_one=False)


def _without(wanted: Wanted, first: str) -> Iterator[str]:
    return (each for each in wanted.ids() if each != first and not first.startswith(each))


def _first_redriven(app: App, wanted: Wanted, manner: bulk.Manner, tally: Tally) -> str | None:
    """The first that can be redriven, redriven."""
    done: list[str] = []
    own = Tally(lambda job, error: done.append(job) if error is None else None)
    for text in wanted.ids():
        bulk.carry_out(app, REDRIVE, replace(wanted, ids=partial(iter, [text]), total=1), manner, own)
        if done:
            tally.note(done[0])
            return done[0]
    return None


class CanaryFailed(PqfsError):
    """The one that went first was not completed, so the rest stay as they are."""

    exit_code = 7

    def __init__(self, job: str, state: str, error: str | None) -> None:
        super().__init__(
            f"The first, {job}, is {state} again ({error or 'no reason was given'}): the rest were left as they are.",
            f"See: pqfs why {job}",
        )
