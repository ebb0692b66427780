"""A stub until the real one lands."""

from __future__ import annotations

import typer

from pqfs.cli import terminal


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (ingest, consume, janitor, produce):
        app.command()(command)


def ingest(context: typer.Context) -> None:
    """Stub."""
    from pqfs import events, wiring

    events.log_to_stderr()
    wiring.run_ingester(terminal.loaded(context))


def consume(context: typer.Context) -> None:
    """Stub."""
    from pqfs import events, wiring

    events.log_to_stderr()
    wiring.run_consumer(terminal.loaded(context))


def janitor(context: typer.Context) -> None:
    """Stub."""
    from pqfs import events, wiring

    events.log_to_stderr()
    wiring.run_janitor(terminal.loaded(context))


def produce(context: typer.Context) -> None:
    """Stub."""
    import time
    while True:
        time.sleep(5)
