"""`pqfs schedule …`: jobs at due times."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pqfs.cli import terminal
from pqfs.cli.terminal import Json, Reason

if TYPE_CHECKING:
    from pqfs.schedules import Schedules

Name = Annotated[str, typer.Argument(help="The schedule.")]
_COLUMNS = ("name", "cron", "zone", "queue", "next", "last", "state", "trouble")

schedule = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    help="Jobs at due times, by cron expressions. The janitor makes them.",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `schedule`."""
    app.add_typer(schedule, name="schedule")


@schedule.command(epilog="Examples: pqfs schedule add nightly '0 2 * * *' report.json --tz Europe/Berlin   "
                         "pqfs schedule add tick '*/5 * * * *' --text now --missed skip")  # fmt: skip
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it.")],
    cron: Annotated[str, typer.Argument(help="Minute, hour, day, month, day of the week; or @hourly … @yearly.")],
    file: Annotated[str | None, typer.Argument(help="The payload: read anew at each due time.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="The payload itself.")] = None,
    zone: Annotated[str, typer.Option("--tz", help="The time zone of the expression.")] = "UTC",
    queue: Annotated[str, typer.Option("--queue", "-q", help="The queue.")] = "default",
    priority: Annotated[int | None, typer.Option("--priority", "-p", help="Higher runs first.")] = None,
    missed: Annotated[
        str,
        typer.Option("--missed", help="Due times that pass while pqfs is away: skip, once, all (up to 100)."),
    ] = "once",
    jitter: Annotated[str | None, typer.Option("--jitter", help="Start up to so much later, by chance.")] = None,
    called: Annotated[str | None, typer.Option("--name", help="The jobs' name; else the file's.")] = None,
    reason: Reason = None,
) -> None:
    """Have a job made at each due time, once, whoever dies."""
    from pqfs.instants import seconds
    from pqfs.schedules import Plan
    from pqfs.submission import check_source

    path = None if file is None else os.path.abspath(file)
    plan = Plan(cron, zone, path, text, called, queue, priority, missed, seconds(jitter) or 0.0)
    if path is not None:
        check_source(Path(path))
    made = _act(context, lambda it, actor, now: it.add(name, plan, actor, reason, now))
    terminal.say(f"{name} is due {terminal.when(made.next_at)} for the first time.")


@schedule.command("list", epilog="Example: pqfs schedule list --json | jq '.items[] | select(.trouble)'")
def list_schedules(context: typer.Context, as_json: Json = False) -> None:
    """Every schedule: when it is due next, when it was last, and what became of that."""
    from pqfs.schedules import listed

    app = terminal.opened(context, read_only=True)
    try:
        items = listed(app.index)
    finally:
        app.close()
    if as_json:
        terminal.put_json("schedules", items)
        return
    rows = [
        {**each, "next": "paused" if each["paused_at"] else _local(each["next_at"]), "last": _local(each["last_at"])}
        for each in items
    ]
    terminal.put_table(rows, _COLUMNS)


@schedule.command(epilog="Example: pqfs schedule run nightly")
def run(context: typer.Context, name: Name, reason: Reason = None) -> None:
    """Make a job of it now; its due times stay as they are. Prints the job's id."""
    from pqfs.firing import Firing

    app = terminal.opened(context)
    try:
        made = Firing(app.jobqueue, app.clock).run(name, terminal.actor(), reason)
    finally:
        app.close()
    terminal.put(made.id)


@schedule.command(epilog="Example: pqfs schedule pause nightly --reason 'the reports are checked by hand'")
def pause(context: typer.Context, name: Name, reason: Reason = None) -> None:
    """Let its due times pass without a job."""
    _act(context, lambda it, actor, now: it.pause(name, actor, reason, now))
    terminal.say(f"{name} is paused. Go on: pqfs schedule resume {name}")


@schedule.command(epilog="Example: pqfs schedule resume nightly")
def resume(context: typer.Context, name: Name, reason: Reason = None) -> None:
    """Go on with the next due time; what passed meanwhile is not made up for."""
    resumed = _act(context, lambda it, actor, now: it.resume(name, actor, reason, now))
    terminal.say(f"{name} is due {terminal.when(resumed.next_at)} next.")


@schedule.command(epilog="Example: pqfs schedule remove nightly")
def remove(context: typer.Context, name: Name, reason: Reason = None) -> None:
    """Forget it. The jobs that it has made stay."""

    def act(schedules: Schedules, actor: str, now: float) -> None:
        schedules.remove(name, actor, reason, now)

    _act(context, act)
    terminal.say(f"{name} is removed.")


def _act(context: typer.Context, act: Callable[[Schedules, str, float], Any]) -> Any:
    from pqfs.schedules import Schedules

    app = terminal.opened(context)
    try:
        return act(Schedules(app.jobqueue), terminal.actor(), app.clock.now())
    finally:
        app.close()


def _local(instant: str | None) -> str:
    from pqfs.clock import parse_iso

    return terminal.when(None if instant is None else parse_iso(instant))
