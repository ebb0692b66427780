"""`pqfs queue …`: what people do with queues."""

from __future__ import annotations

from typing import Annotated

import typer

from pqfs.cli import terminal
from pqfs.cli.terminal import DryRun, Json, Reason, Yes

Name = Annotated[str, typer.Argument(help="The queue.")]
Names = Annotated[list[str], typer.Argument(help="The queues.")]
Values = Annotated[list[str] | None, typer.Argument(help="name=value, as in pqfs.toml; `none` lifts a limit.")]
Patience = Annotated[str | None, typer.Option("--timeout", help="Wait no longer than this (exit code 3).")]

queue = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    help="List queues, look at one, and steer them.",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `queue`."""
    app.add_typer(queue, name="queue")


@queue.command("list", epilog="Example: pqfs queue list --json | jq '.items[] | select(.paused_at)'")
def list_queues(context: typer.Context, as_json: Json = False) -> None:
    """Every queue: what waits, what runs, who serves it, and what holds it up."""
    from pqfs.cli import queueshow

    app = terminal.opened(context, read_only=True)
    try:
        queueshow.show_all(app, as_json)
    finally:
        app.close()


@queue.command(epilog="Example: pqfs queue show mail")
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """One queue, with every setting and where its value came from."""
    from pqfs.cli import queueshow

    queueshow.show(context, name, as_json)


@queue.command(epilog="Examples: pqfs queue create mail   pqfs queue create scans timeout=10m concurrency=2")
def create(
    context: typer.Context, name: Name, values: Values = None, reason: Reason = None, as_json: Json = False
) -> None:
    """Make a queue, and inbox/NAME/ for its producers. Its handler stands in pqfs.toml."""
    from pqfs.cli import queueacts

    queueacts.create(context, name, values or [], queueacts.Manner(reason, as_json))


@queue.command("set", epilog="Examples: pqfs queue set mail max_failures=5 claim_rate=100/m   "
                             "pqfs queue set mail --unset timeout")  # fmt: skip
def set_values(
    context: typer.Context,
    name: Name,
    values: Values = None,
    unset: Annotated[list[str] | None, typer.Option("--unset", help="Take this value back; may be repeated.")] = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Set values over pqfs.toml, at once and for good. Jobs keep the priority with which they came."""
    from pqfs.cli import queueacts

    queueacts.set_values(context, name, values or [], unset or [], queueacts.Manner(reason, as_json, dry_run))


@queue.command(epilog="Example: pqfs queue pause mail --for 2h --reason 'the mail server is down'")
def pause(
    context: typer.Context,
    names: Names,
    period: Annotated[str | None, typer.Option("--for", help="Go on by itself after 90s, 5m, 2h, 7d.")] = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Let nothing of these queues be claimed. What runs goes on, files are still taken in."""
    from pqfs.cli import queueacts

    queueacts.pause(context, names, period, queueacts.Manner(reason, as_json))


@queue.command(epilog="Example: pqfs queue resume mail")
def resume(context: typer.Context, names: Names, reason: Reason = None, as_json: Json = False) -> None:
    """Let paused queues be claimed from again, and drained ones take files in."""
    from pqfs.cli import queueacts

    queueacts.resume(context, names, queueacts.Manner(reason, as_json))


@queue.command(epilog="Example: pqfs queue drain mail --timeout 10m && pqfs queue delete mail")
def drain(
    context: typer.Context, name: Name, timeout: Patience = None, reason: Reason = None, as_json: Json = False
) -> None:
    """Take nothing in any more, and wait until nothing waits or runs. `pqfs queue resume` opens it again."""
    from pqfs.cli import queueacts

    queueacts.drain(context, name, timeout, queueacts.Manner(reason, as_json))


@queue.command(epilog="Example: pqfs queue purge mail --dry-run")
def purge(
    context: typer.Context,
    name: Name,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete the jobs that wait in a queue, held ones too. What runs and what has ended stays."""
    from pqfs.cli import queueacts

    queueacts.purge(context, name, queueacts.Manner(reason, as_json, dry_run, yes))


@queue.command(epilog="Example: pqfs queue delete mail --purge -y")
def delete(
    context: typer.Context,
    name: Name,
    drained: Annotated[bool, typer.Option("--drain", help="Drain it first, and wait.")] = False,
    purged: Annotated[bool, typer.Option("--purge", help="First delete its jobs, but completed ones.")] = False,
    timeout: Patience = None,
    reason: Reason = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete a queue that is empty. Outputs, and the history of completed jobs, stay."""
    from pqfs.cli import queueacts

    how = queueacts.Emptying(drained, purged, timeout)
    queueacts.delete(context, name, how, queueacts.Manner(reason, as_json, dry_run, yes))
