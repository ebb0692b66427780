"""`pqfs rejected …`: what ingestion refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pqfs import naming, rejected
from pqfs.cli import progress, terminal
from pqfs.cli.recording import Act, record
from pqfs.errors import PqfsError, Refused
from pqfs.rejected import Refusal
from pqfs.report import to_json
from pqfs.spool import Spool

if TYPE_CHECKING:
    import typer

    from pqfs.settings import Loaded


@dataclass(frozen=True, slots=True)
class Choice:
    """Which refusals are meant, and how: for show only, without a question."""

    numbers: Sequence[str]
    everything: bool
    dry_run: bool
    yes: bool


@contextmanager
def _spool(context: typer.Context) -> Iterator[Spool]:
    spool = Spool(terminal.loaded(context).settings.spool)
    try:
        yield spool
    finally:
        spool.close()


def show_all(context: typer.Context, as_json: bool) -> None:
    """List them."""
    with _spool(context) as spool:
        found = [to_json(each) for each in rejected.refusals(spool)]
    if as_json:
        terminal.put_json("rejected", found)
    else:
        terminal.put_table(found, ("number", "at", "queue", "size", "name", "reason"))


def show(context: typer.Context, number: str, as_json: bool) -> None:
    """Print one."""
    with _spool(context) as spool:
        found = to_json(rejected.refusal(spool, number))
    if as_json:
        terminal.put_json("rejected", [found])
        return
    for key, value in found.items():
        terminal.put(f"{key:<8} {'-' if value is None else value}")


def act(context: typer.Context, verb: str, choice: Choice) -> int:
    """Put back or remove; the exit code."""
    with _spool(context) as spool:
        chosen = _chosen(spool, choice)
        if choice.dry_run:
            for each in chosen:
                terminal.put(each.number)
            terminal.say(f"Would {verb} {len(chosen)} rejected files.")
            return 0
        if chosen and (verb == "purge" or choice.everything or len(chosen) > 1):
            terminal.confirm(f"{verb.capitalize()} {len(chosen)} rejected files?", choice.yes)
        return _each(terminal.loaded(context), spool, verb, chosen)


def _chosen(spool: Spool, choice: Choice) -> list[Refusal]:
    if bool(choice.numbers) == choice.everything:
        raise Refused("Name rejected files by number, or all by --all, but not both.", "See: pqfs rejected list")
    if choice.everything:
        return list(rejected.refusals(spool))
    return [rejected.refusal(spool, number) for number in choice.numbers]


def _each(loaded: Loaded, spool: Spool, verb: str, chosen: Sequence[Refusal]) -> int:
    failed: list[PqfsError] = []
    acts: list[Act] = []
    try:
        with progress.bar(verb, len(chosen)) as advance:
            for found in chosen:
                try:
                    terminal.put(_one(spool, verb, found))
                    acts.append(Act(f"{verb} rejected", found.queue, found.reason, f"{found.number} {found.name}"))
                except PqfsError as error:
                    failed.append(error)
                advance(1)
    finally:
        record(loaded, acts)  # what was done before it was interrupted, too
    if len(chosen) == 1 and failed:
        raise failed[0]
    for each in failed[:20]:
        terminal.say(f"  skipped: {each.message}")
    terminal.say(f"{len(chosen) - len(failed)} {'put back' if verb == 'retry' else 'removed'}.")
    return 0 if not failed else 7 if len(failed) < len(chosen) else 1


def _one(spool: Spool, verb: str, each: Refusal) -> str:
    if verb == "retry":
        return naming.printable_path(rejected.readmit(spool, each))
    rejected.purge(spool, each)
    return each.number
