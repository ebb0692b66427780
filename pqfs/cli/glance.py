"""How `pqfs status` looks."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import typer

from pqfs.cli import terminal
from pqfs.clock import SystemClock
from pqfs.errors import Corrupt, IndexGone, PqfsError, Unavailable
from pqfs.health import Finding, Severity, alarms, examine, exit_code
from pqfs.model import State
from pqfs.naming import harmless
from pqfs.owners import host_of
from pqfs.report import Overview, QueueStatus, Rates, overview, to_json
from pqfs.stack.supervisor import programs
from pqfs.vitals import look, look_without_index

if TYPE_CHECKING:
    from pqfs.settings import Loaded, Settings
    from pqfs.wiring import App

_EVERY = 2.0
_COLOURS = {Severity.ALARM: typer.colors.RED, Severity.NOTICE: typer.colors.YELLOW}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def show(app: App, as_json: bool) -> int:
    """Print one look; the exit code that says how the spool is."""
    found, findings = overview(app), _examine(app)
    if as_json:
        terminal.put_json("status", **to_json(found), **_as_json(findings))
    else:
        _print_findings(findings)
        _print(found, app.settings)
    return exit_code(findings)


def watch(app: App, as_json: bool) -> int:
    """Print a look every two seconds until Ctrl-C: redrawn on a terminal, one line each in a pipe."""
    code = 0
    try:
        while True:
            if sys.stdout.isatty() or as_json:
                typer.echo("" if as_json else "\033[2J\033[H", nl=False)  # clear, cursor home
                code = show(app, as_json)
            else:
                found, findings = overview(app), _examine(app)
                code = exit_code(findings)
                names = " ".join(each.name for each in alarms(findings))
                terminal.put(f"{terminal.when(found.at)}  {_counts(found)}  inbox {found.inbox}  {names}".rstrip())
            time.sleep(_EVERY)
    except KeyboardInterrupt:
        return code


def show_without_index(loaded: Loaded, trouble: PqfsError, as_json: bool) -> int:
    """The health of a spool whose index can not be opened; the exit code.

    Raises:
        PqfsError: the trouble itself, where it says nothing about the health of a spool.
    """
    if not isinstance(trouble, Corrupt | IndexGone | Unavailable):
        raise trouble
    settings = loaded.settings
    findings = examine(look_without_index(settings, SystemClock(), trouble, programs(settings.spool / "run")))
    if as_json:
        terminal.put_json("status", **_as_json(findings))
    else:
        _print_findings(findings)
    return exit_code(findings)


def _examine(app: App) -> list[Finding]:
    return examine(look(app, programs(app.spool.path("run"))))


def _as_json(findings: list[Finding]) -> dict[str, Any]:
    loud = alarms(findings)
    return {"alarms": to_json(loud), "notices": to_json([each for each in findings if each not in loud])}


def _print_findings(findings: list[Finding]) -> None:
    for each in findings:
        since = "" if each.since_at is None else f" since {terminal.when(each.since_at)}"
        line = f"{each.severity:<10} {each.name}{since}: {each.sentence} {each.hint}"
        terminal.put_styled(
            typer.style(harmless(line), fg=_COLOURS[each.severity], bold=each.severity is Severity.ALARM)
        )


def _print(found: Overview, settings: Settings) -> None:
    terminal.put(f"jobs       {_counts(found)}")
    oldest = "" if found.oldest_wait is None else f", the oldest has waited {_span(found.oldest_wait)}"
    terminal.put(f"waiting    {found.jobs[State.PENDING]}{oldest}")
    terminal.put(f"inbox      {found.inbox}{'+' if found.inbox_capped else ''} files")
    if not found.footing.is_usual:
        terminal.put(f"lies on    {found.footing.told(settings.ingest)}")
    terminal.put(f"rejected   {found.rejected}{'+' if found.rejected_capped else ''} files")
    terminal.put(f"a minute   {_rates(found.last_minute)}")
    terminal.put(f"an hour    {_rates(found.last_hour)}")
    room = "  below low water" if found.below_low_water else ""
    terminal.put(f"disk       {size(found.free_bytes)} free{room}")
    terminal.put(f"index      {size(found.index_bytes)} and {size(found.log_bytes)} log")
    _print_queues(found)
    _print_consumers(found, settings.host)
    others = [each.program for each in found.services if not each.program.startswith("consumer")]
    terminal.put(f"alive      {', '.join(others) or 'no ingester and no janitor'}")
    if found.leader is not None:
        terminal.put(f"leads      the janitor of {found.leader}")


def _print_queues(found: Overview) -> None:
    for queue in found.queues:
        if len(found.queues) > 1 or queue.paused_at is not None:
            said = " ".join(f"{state} {jobs}" for state, jobs in queue.jobs.items()) or "empty"
            terminal.put(f"queue      {queue.name}: {said}{_paused(queue)}")


def _paused(queue: QueueStatus) -> str:
    if queue.paused_at is None:
        return ""
    until = f" until {terminal.when(queue.paused_until)}" if queue.paused_until is not None else ""
    why = f": {queue.paused_reason}" if queue.paused_reason else ""
    return f"  paused by {queue.paused_by} since {terminal.when(queue.paused_at)}{until}{why}"


def _print_consumers(found: Overview, here: str | None) -> None:
    """What a consumer runs stands in run/, which is its own host's."""
    for each in found.consumers:
        job, host = each.running, host_of(each.owner)
        doing = f"runs {job.name} ({job.job}) for {_span(job.seconds)}" if job else "idle"
        if host != here:
            doing = f"on {host}, where pqfs status tells what it runs"
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
