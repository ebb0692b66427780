"""The processes that supervisor runs, in the foreground: ingest, consume, janitor; and the demo producer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pqfs.cli import terminal

if TYPE_CHECKING:
    from pqfs.settings import Loaded

Once = Annotated[bool, typer.Option("--once", help="Do what can be done now, then end.")]
Drain = Annotated[bool, typer.Option("--drain", help="End when nothing is left to do.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log every file and job.")]


def register(app: typer.Typer) -> None:
    """Add the services."""
    app.command(epilog="Example: pqfs ingest --drain && pqfs consume --drain")(ingest)
    app.command(epilog="Example: pqfs consume -q mail -q default")(consume)
    app.command(epilog="Example: pqfs janitor --once")(janitor)
    app.command(epilog="Example: pqfs courier --drain")(courier)
    app.command(epilog="Example: pqfs produce --every 1s --count 10")(produce)


def ingest(
    context: typer.Context,
    once: Once = False,
    drain: Drain = False,
    patience: Annotated[str, typer.Option(help="How long --drain waits for files that are not complete.")] = "10s",
    verbose: Verbose = False,
) -> None:
    """Take complete files out of the inbox and make them jobs, until stopped."""
    from pqfs.durations import parse_duration
    from pqfs.services import run_ingester

    loaded = _logging(context, "ingester", verbose)
    waits = parse_duration(patience) if drain else 0.0
    taken = run_ingester(loaded, waits if once or drain else None)
    if once or drain:
        terminal.say(f"{taken} taken in.")


def consume(
    context: typer.Context,
    queue: Annotated[
        list[str] | None, typer.Option("--queue", "-q", help="Only this queue; may be repeated.")
    ] = None,
    once: Once = False,
    drain: Drain = False,
    verbose: Verbose = False,
) -> None:
    """Run jobs until stopped. With --once or --drain: until no job is due."""
    from pqfs.services import run_consumer

    loaded = _logging(context, "consumer", verbose)
    completed = run_consumer(loaded, queue or None, once or drain)
    if once or drain:
        terminal.say(f"{completed} completed.")


def janitor(context: typer.Context, once: Once = False, drain: Drain = False, verbose: Verbose = False) -> None:
    """Repair what the dead left, retry, remove what is no longer kept, until stopped."""
    from pqfs.services import run_janitor

    loaded = _logging(context, "janitor", verbose)
    run_janitor(loaded, once or drain)
    if once or drain:
        terminal.say("Looked after the spool once.")


def courier(context: typer.Context, drain: Drain = False, verbose: Verbose = False) -> None:
    """Write receipts and tell hooks what has happened, until stopped."""
    from pqfs.services import run_courier

    loaded = _logging(context, "courier", verbose)
    run_courier(loaded, drain)


def produce(
    context: typer.Context,
    every: Annotated[str, typer.Option(help="The pause between two files.")] = "5s",
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many; for ever if not given.")] = None,
    queue: Annotated[str, typer.Option("--queue", "-q", help="Drop them for this queue.")] = "default",
) -> None:
    """Drop a small random text file into the inbox again and again, to see pqfs at work."""
    from pqfs.cli.demo import produce_files
    from pqfs.durations import parse_duration

    produce_files(terminal.loaded(context).settings.spool, parse_duration(every), count, queue)


def _logging(context: typer.Context, program: str, verbose: bool) -> Loaded:
    """The settings, and the log of this process as they want it."""
    from pqfs.events import log_to_stderr
    from pqfs.runtime import program_name

    loaded = terminal.loaded(context)
    log_to_stderr(verbose, program_name(program) if loaded.settings.log_format == "json" else None)
    return loaded
