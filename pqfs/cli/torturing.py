"""torture: a storm over a scratch stack on this disk, and its verdict."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pqfs.cli import terminal

if TYPE_CHECKING:
    from pqfs.torture.ground import Ground
    from pqfs.torture.storm import Glance
    from pqfs.torture.verdict import Verdict

_PLAIN_EVERY = 10.0  # seconds between two lines of progress where there is no terminal
_NAMED = 20
_LONG_ENOUGH = 15.0  # seconds of storm; shorter ones leave the small disk out
_ON_SMALL_DISK = 20.0

_MEANINGS = {
    "lost": "brought, and now neither an output nor where its job's end puts it",
    "doubled": "one payload, two jobs or two outputs",
    "torn": "not byte for byte what it should be",
    "early": "visible before its row was committed",
    "stuck": "had not ended by itself in time",
    "charged": "failures or crashes that nobody caused",
    "undone": "acknowledged acts of operators that are not true any more",
    "broken": "fsck findings, processes left running",
}
_EXAMPLES = "Examples: pqfs torture   pqfs torture --seconds 600 --seed 7   pqfs torture --kills 10000 --json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=_EXAMPLES)(torture)


def torture(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=1, help="How long the storm lasts.")] = 60.0,
    kills: Annotated[int | None, typer.Option(min=1, help="End after so many kills instead.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same plan of chaos.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--in", help="An empty folder; by default a new one beside the spool.")
    ] = None,
    consumers: Annotated[int, typer.Option("--consumers", "-c", min=1, max=64, help="How many consumers run.")] = 4,
    pace: Annotated[float, typer.Option(min=0, help="Mean pause between two acts of chaos, in seconds.")] = 0.08,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder even when all is good.")] = False,
    judge: Annotated[Path | None, typer.Option("--judge", help="No storm: judge a kept folder again.")] = None,
    as_json: terminal.Json = False,
) -> None:
    """Kill, stop and restart a scratch stack under load, and count what was lost. Touches no spool of yours.

    Runs on the disk of your spool, without root, about 30 seconds longer than it storms. Exit code 0: nothing
    lost, doubled or torn; 1: something was, and the folder is kept; 3: it did not come to its end in time.
    """
    from pqfs import kernel
    from pqfs.torture.ground import Ground

    if judge is not None:
        ground, is_ours, keep = Ground(judge.absolute()), False, True
    else:
        ground, is_ours = _raged(context, folder, seed, seconds, kills, consumers, pace)
    verdict = _judged(ground)
    _show(verdict, kernel.file_system(os.fsencode(ground.root)), as_json)
    if verdict.exit_code or keep:
        terminal.say(f"Kept: {ground.root}. Judge it again: pqfs torture --judge {ground.root}")
    else:
        ground.remove(is_ours)
    raise typer.Exit(verdict.exit_code)


def _raged(
    context: typer.Context, folder: Path | None, seed: int | None, seconds: float, kills: int | None,
    consumers: int, pace: float,
) -> tuple[Ground, bool]:  # fmt: skip
    """The ground over which a storm has gone, and whether it was made for it."""
    from pqfs.clock import SystemClock
    from pqfs.errors import Misconfigured
    from pqfs.torture import smalldisk
    from pqfs.torture.ground import choose
    from pqfs.torture.storm import Order, Storm

    ground, is_ours = choose(folder, terminal.loaded(context).settings.spool)
    order = Order(int.from_bytes(os.urandom(3)) % 10**6 if seed is None else seed, seconds, kills, consumers, pace)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _progress() as say:
            storm = Storm(ground, order, SystemClock(), say)
            terminal.say(f"Torture in {ground.root}, seed {order.seed}.")
            storm.rage()
            if kills is not None or seconds >= _LONG_ENOUGH:
                smalldisk.rage(ground, order, min(_ON_SMALL_DISK, seconds / 3), say)
    except Misconfigured:
        ground.remove(is_ours)  # nothing has happened in it yet
        raise
    except BaseException:
        terminal.say(f"Kept: {ground.root}.")
        raise
    return ground, is_ours


@contextmanager
def _progress() -> Iterator[Callable[[Glance], None]]:
    """A line that is written over and over on a terminal; one now and then elsewhere. On stderr."""
    is_terminal, said_at = sys.stderr.isatty(), [0.0]

    def say(glance: Glance) -> None:
        if is_terminal:
            sys.stderr.write(f"\r\x1b[K{_told(glance)}")
            sys.stderr.flush()
        elif time.monotonic() - said_at[0] > _PLAIN_EVERY:
            said_at[0] = time.monotonic()
            terminal.say(_told(glance))

    yield say
    if is_terminal:
        sys.stderr.write("\r\x1b[K")


def _told(glance: Glance) -> str:
    left = "" if glance.seconds is None or glance.phase != "storm" else f", {glance.seconds:.0f} s left"
    return f"{glance.phase}{left}: in {glance.sent:,}, out {glance.out:,}, kills {glance.kills:,}"


def _judged(ground: Ground) -> Verdict:
    """The verdict from what lies on the disk.

    Raises:
        Misconfigured: no storm has gone over this folder.
    """
    from pqfs.errors import Misconfigured
    from pqfs.torture.account import gather
    from pqfs.torture.verdict import judge

    if not (ground.books / "storm.json").is_file():
        raise Misconfigured(f"No storm has come to its end in {ground.root}.", "Start one: pqfs torture")
    return judge(gather(ground))


# -------------------------------------------------------------------- the table


def _show(verdict: Verdict, disk: str, as_json: bool) -> None:
    if as_json:
        terminal.put_json("torture", **_fields(verdict, disk))
        return
    rows = list(_rows(verdict, disk))
    if sys.stdout.isatty():
        _put_rich(rows)
    else:
        terminal.put_table(({"what": what, "count": count, "of": said} for what, count, said in rows), _COLUMNS)
    for sentence in [each for found in verdict.wrong.values() for each in found][:_NAMED]:
        terminal.put(f"BROKEN  {sentence}")


_COLUMNS = ("what", "count", "of")


def _fields(verdict: Verdict, disk: str) -> dict[str, Any]:
    machine = {
        "kernel": platform.release(), "python": platform.python_version(), "cores": os.cpu_count(), "disk": disk,
    }  # fmt: skip
    counts = {word: len(found) for word, found in verdict.wrong.items()}
    return {
        **asdict(verdict), "counts": counts, "survived": verdict.survived, "good": verdict.exit_code == 0,
        "machine": machine,
    }  # fmt: skip


def _rows(verdict: Verdict, disk: str) -> Iterator[tuple[str, str, str]]:
    ends = ", ".join(f"{number:,} {state}" for state, number in sorted(verdict.ends.items()))
    yield "in", f"{verdict.sent:,}", "payloads brought, each unlike any other"
    yield "out", f"{verdict.out:,}", f"outputs; jobs: {ends}"
    for word, found in verdict.wrong.items():
        yield word, f"{len(found):,}", _MEANINGS[word]
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in verdict.kills.items())
    yield "survived", f"{verdict.survived:,}", f"kills in {verdict.seconds:.0f} s; acts: {kinds}"
    for what, found_recovery in (("work again", verdict.slowest_work), ("job again", verdict.slowest_job)):
        if found_recovery:
            said = f"seconds, the slowest recovery, after the end of {found_recovery.after}"
            yield what, f"{found_recovery.seconds:.1f}", said
    settled = "not" if verdict.settled is None else f"{verdict.settled:.1f}"
    if verdict.small is not None:
        yield "full disk", *_told_of_small(verdict.small)
    yield "settled", settled, "seconds until every job had ended by itself"
    yield "seed", str(verdict.seed), f"on {disk}, kernel {platform.release()}, {os.cpu_count()} cores"


def _told_of_small(small: Mapping[str, Any]) -> tuple[str, str]:
    if "why" in small:
        return "-", f"not tried: {small['why']}"
    counts = f"work paused {small['paused']} times, in {small['sent']}, out {small['out']}"
    return f"{small['full']:,}", f"times, on a small disk beside; {counts}"


def _put_rich(rows: list[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "count", "of", title="pqfs torture")
    table.columns[1].justify = "right"
    for what, count, said in rows:
        colour = "" if what not in _MEANINGS else "green" if count == "0" else "bold red"
        table.add_row(what, count, said, style=colour)
    Console().print(table)
