"""How `pqfs status` looks."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import typer

from pqfs.cli import terminal
from pqfs.model import State
from pqfs.report import Ailment, Overview, Rates, ailments, overview, to_json

if TYPE_CHECKING:
    from pqfs.wiring import App

_EVERY = 2.0
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def show(app: App, as_json: bool) -> bool:
    """Print one look; whether nothing is unhealthy."""
    found = overview(app)
    sick = ailments(found)
    if as_json:
        terminal.put_json("status", **to_json(found), unhealthy=to_json(sick))
    else:
        _print(found, sick)
    return not sick


def watch(app: App, as_json: bool) -> bool:
    """Print a look every two seconds until Ctrl-C: redrawn on a terminal, one line each in a pipe."""
    healthy = True
    try:
        while True:
            if sys.stdout.isatty() and not as_json:
                typer.echo("\033[2J\033[H", nl=False)  # clear, cursor home
                healthy = show(app, as_json)
            elif as_json:
                healthy = show(app, as_json)
            else:
                found = overview(app)
                healthy = not ailments(found)
                terminal.put(f"{terminal.when(found.at)}  {_counts(found)}  inbox {found.inbox}")
            time.sleep(_EVERY)
    except KeyboardInterrupt:
        return healthy


def _print(found: Overview, sick: list[Ailment]) -> None:
    terminal.put(f"jobs       {_counts(found)}")
    oldest = "" if found.oldest_wait is None else f", the oldest has waited {_span(found.oldest_wait)}"
    terminal.put(f"waiting    {found.jobs[State.PENDING]}{oldest}")
    terminal.put(f"inbox      {found.inbox}{'+' if found.inbox_capped else ''} files")
    terminal.put(f"rejected   {found.rejected}{'+' if found.rejected_capped else ''} files")
    terminal.put(f"a minute   {_rates(found.last_minute)}")
    terminal.put(f"an hour    {_rates(found.last_hour)}")
    room = "  below low water" if found.below_low_water else ""
    terminal.put(f"disk       {size(found.free_bytes)} free{room}")
    terminal.put(f"index      {size(found.index_bytes)} and {size(found.log_bytes)} log")
    _print_queues(found)
    _print_consumers(found)
    others = [each.program for each in found.services if not each.program.startswith("consumer")]
    terminal.put(f"alive      {', '.join(others) or 'no ingester and no janitor'}")
    for each in sick:
        terminal.put(typer.style(f"{each.rule}: {each.sentence} {each.hint}", fg=typer.colors.RED))


def _print_queues(found: Overview) -> None:
    for queue in found.queues:
        if len(found.queues) > 1 or queue.paused_at is not None:
            said = " ".join(f"{state} {jobs}" for state, jobs in queue.jobs.items()) or "empty"
            paused = "" if queue.paused_at is None else f"  paused by {queue.paused_by}: {queue.paused_reason or ''}"
            terminal.put(f"queue      {queue.name}: {said}{paused}")


def _print_consumers(found: Overview) -> None:
    for each in found.consumers:
        job = each.running
        doing = f"runs {job.name} ({job.job}) for {_span(job.seconds)}" if job else "idle"
        state = "" if each.is_alive else f" [{each.life.value}, silent for {_span(each.silent)}]"
        terminal.put(f"consumer   {each.program} pid {each.pid}{state}: {doing}, {each.completed} completed")


def _counts(found: Overview) -> str:
    return "  ".join(f"{state} {jobs}" for state, jobs in found.jobs.items())


def _rates(rates: Rates) -> str:
    return f"{rates.ingested:.0f} in, {rates.completed:.0f} completed, {rates.failed:.0f} failed"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 7200 else f"{seconds / 3600:.1f}h"


def size(count: float) -> str:
    """Bytes for people: `1.5 GiB`."""
    for unit in _UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {_UNITS[-1]}"
