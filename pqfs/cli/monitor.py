"""`pqfs monitor`: everything at a glance, alive, with keys for the common acts."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pqfs.cli import terminal
from pqfs.cli.terminal import Json


def register(app: typer.Typer) -> None:
    """Add `monitor`."""
    app.command(epilog="Examples: pqfs monitor   pqfs monitor --once --json | jq .jobs")(monitor)


def monitor(
    context: typer.Context,
    every: Annotated[str, typer.Option(help="The pause between two looks.")] = "1s",
    once: Annotated[bool, typer.Option("--once", help="One look, printed.")] = False,
    as_json: Json = False,
) -> None:
    """Watch counts, rates, queues, consumers with what they run, errors and alarms; ? shows the keys.

    Plain text, look after look, in a pipe.
    """
    from pqfs.cli import live
    from pqfs.durations import parse_duration
    from pqfs.errors import Refused

    loaded, pause = terminal.loaded(context), parse_duration(every)
    if as_json and not once:
        raise Refused("--json goes with --once.", "Again and again: pqfs status --watch --json")
    if once:
        live.once(loaded, as_json)
    elif sys.stdin.isatty() and sys.stdout.isatty():
        live.watch(loaded, max(0.1, pause))
    else:
        live.follow(loaded, max(0.1, pause))
