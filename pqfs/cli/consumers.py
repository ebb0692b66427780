"""`pqfs consumers …`: how many run, what each runs, and which queues it serves."""

from __future__ import annotations

from typing import Annotated

import typer

from pqfs.cli.terminal import Json, Reason

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `pqfs consumers list` names it: consumer-03.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]…", help="Which; all that are wanted by default.")]
Queues = Annotated[
    list[str] | None, typer.Option("--queue", "-q", help="Consumers that serve only this queue; may be repeated.")
]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait until it is done (exit code 3).")]
_PATIENCE = 90.0

consumers = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    help="List the consumers; have more or fewer of them. What is asked for here lasts until it is changed.",
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `consumers`."""
    app.add_typer(consumers, name="consumers")


@consumers.command("list", epilog="Example: pqfs consumers list --json | jq -r '.items[] | select(.job == null)'")
def list_consumers(context: typer.Context, as_json: Json = False) -> None:
    """Every consumer: its state, what it runs since when and how far, what it has completed, its last beat."""
    from pqfs.cli import fleet

    fleet.show(context, as_json)


@consumers.command(epilog="Examples: pqfs consumers scale 6   pqfs consumers scale 2 -q mail -q fax")
def scale(
    context: typer.Context,
    count: Annotated[int, typer.Argument(metavar="N", min=0, max=64, help="How many.")],
    queue: Queues = None,
    reason: Reason = None,
    timeout: Timeout = _PATIENCE,
    as_json: Json = False,
) -> None:
    """Have N consumers that serve all queues; with -q, N that serve only these. Others stay as they are.

    Those that are idle are let go first. One that ends has `consume.drain` to finish what it runs.
    """
    from pqfs.cli import fleet

    manner = fleet.Manner(reason, timeout, as_json)
    fleet.change(context, manner, lambda each, author: each.scale(count, tuple(sorted(queue or ())) or None, author))


@consumers.command(epilog="Example: pqfs consumers start consumer-03")
def start(
    context: typer.Context, name: Name, reason: Reason = None, timeout: Timeout = _PATIENCE, as_json: Json = False
) -> None:
    """Start one consumer, and have it run from now on."""
    from pqfs.cli import fleet

    fleet.change(context, fleet.Manner(reason, timeout, as_json), lambda each, author: each.start(name, author))


@consumers.command(epilog="Example: pqfs consumers stop consumer-03 --reason 'it is too hot in here'")
def stop(
    context: typer.Context, name: Name, reason: Reason = None, timeout: Timeout = _PATIENCE, as_json: Json = False
) -> None:
    """End one consumer for now and for later starts. What it runs is given back after `consume.drain`, at no cost."""
    from pqfs.cli import fleet

    fleet.change(context, fleet.Manner(reason, timeout, as_json), lambda each, author: each.stop(name, author))


@consumers.command(epilog="Example: pqfs consumers drain consumer-03 --timeout 3600")
def drain(
    context: typer.Context,
    name: Name,
    reason: Reason = None,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait (exit code 3); it goes on draining.")
    ] = None,
    as_json: Json = False,
) -> None:
    """End one consumer once what it runs has ended, however long that takes; it claims nothing more meanwhile."""
    from pqfs.cli import fleet

    fleet.change(context, fleet.Manner(reason, timeout, as_json), lambda each, author: each.drain(name, author))


@consumers.command(epilog="Examples: pqfs consumers restart   pqfs consumers restart consumer-03")
def restart(context: typer.Context, names: Names = None, timeout: Timeout = _PATIENCE) -> None:
    """Start consumers anew, one after another, so that they take up today's pqfs.toml and handlers.

    Without names also the ingester and the janitor. What runs has `consume.drain` to finish.
    """
    from pqfs.cli import fleet

    fleet.restart(context, names or [], timeout)
