"""How `pqfs dead export` works: a bar, a report of what was there already and of what was skipped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pqfs.cli import bulk, progress, terminal
from pqfs.cli.selection import Wanted
from pqfs.errors import IllegalTransition, PqfsError
from pqfs.export import Export
from pqfs.verbs import EXPORT, Tally

if TYPE_CHECKING:
    from pqfs.wiring import App


def export(app: App, wanted: Wanted, folder: Path, dry_run: bool, as_json: bool) -> int:
    """Copy what is wanted; the exit code."""
    manner = bulk.Manner(None, dry_run, True, as_json)
    if dry_run:
        with bulk.telling(as_json, verb=EXPORT.word, dry_run=True) as tell:
            tally = Tally(tell)
            bulk.carry_out(app, EXPORT, wanted, manner, tally)
        bulk.report(EXPORT, tally, manner)
        return tally.exit_code()
    target = Export(app, folder)
    try:
        with bulk.telling(as_json, verb=EXPORT.word, dry_run=False) as tell:
            tally = Tally(tell)
            known = _copy_all(app, target, wanted, tally)
    finally:
        target.close()
    _report(tally, known, folder, as_json)
    return tally.exit_code()


def _copy_all(app: App, target: Export, wanted: Wanted, tally: Tally) -> int:
    """Copy them; how many were there already."""
    known = 0
    with progress.bar(EXPORT.word, wanted.total) as advance:
        for text in wanted.ids():
            try:
                job = app.jobqueue.job(text)
                if job.state not in EXPORT.states:
                    raise IllegalTransition(job.id, job.state, EXPORT.word)
                known += not target.add(job)
                tally.note(job.id)
            except PqfsError as error:
                tally.note(text, error)
            advance(1)
    return known


def _report(tally: Tally, known: int, folder: Path, as_json: bool) -> None:
    if as_json:
        return
    already = f", {known} of them before" if known else ""
    terminal.say(f"{tally.done} dead letters are in {folder}{already}.")
    bulk.say_skipped(tally.first, tally.skipped)
