"""up, down, ps, logs, systemd, ui: the stack of processes of one spool."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pqfs.cli import terminal
from pqfs.errors import Refused, Unavailable

if TYPE_CHECKING:
    from pqfs.stack.configuration import Instance
    from pqfs.stack.presence import Row
    from pqfs.stack.starting import Stack

Consumers = Annotated[int | None, typer.Option("--consumers", "-c", help="How many consumers run [2].")]
NoUi = Annotated[bool, typer.Option("--no-ui", help="Without the console.")]
UiPort = Annotated[int | None, typer.Option("--ui-port", help="The console's port on this host [8501].")]
Demo = Annotated[bool, typer.Option("--demo", help="With a producer that drops a text file every 5 seconds.")]

_EXAMPLES = {
    "up": "Examples: pqfs up   pqfs up -d --consumers 4   pqfs up --demo",
    "down": "Example: pqfs down --timeout 300",
    "ps": "Example: pqfs ps --json | jq -r '.items[] | select(.job != null) | .program'",
    "logs": "Examples: pqfs logs -f   pqfs logs consumer-01 -n 20",
    "systemd": "Example: pqfs systemd --consumers 4 > /etc/systemd/system/pqfs.service",
    "ui": "Examples: pqfs ui --ui-port 8600   pqfs ui --only ops",
}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (up, down, ps, logs, systemd, ui):
        app.command(epilog=_EXAMPLES[command.__name__])(command)


def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="In the background; return when all runs.")] = False,
    consumers: Consumers = None,
    no_ui: NoUi = False,
    ui_port: UiPort = None,
    demo: Demo = False,
) -> None:
    """Start everything: makes the spool where it is missing, then runs until Ctrl-C or `pqfs down`."""
    from pqfs.stack.starting import Stack

    instance = _instance(context, consumers, ui_port, not no_ui, demo)
    stack = Stack(instance)
    if detach:
        stack.start()
        announce(stack, "pqfs down")
        _note(stack.instance, "up")
    else:
        _stay(stack)


def _instance(
    context: typer.Context, consumers: int | None = None, ui_port: int | None = None,
    with_ui: bool = True, demo: bool = False,
) -> Instance:  # fmt: skip
    from pqfs.stack.configuration import Instance

    return Instance(
        terminal.loaded(context, consumers=consumers, ui_port=ui_port), Path.cwd(), with_ui=with_ui, demo=demo
    )


def _stay(stack: Stack) -> None:
    """Run in the foreground. The first Ctrl-C or TERM stops everything; a second one no longer waits for it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    supervisord = None
    try:
        supervisord = stack.start_here()
        announce(stack, "Ctrl-C, or: pqfs down")
        _note(stack.instance, "up")
        code = supervisord.wait()
    except KeyboardInterrupt:
        terminal.say("Stopping: what runs is finished first.")
        if supervisord:
            stack.stop_here(supervisord)
        return
    if code:
        raise Unavailable(
            f"supervisord ended with code {code}.", f"See: {stack.instance.settings.logs}/supervisord.log"
        )


def _note(instance: Instance, verb: str) -> None:
    from pqfs.cli.recording import Act, record

    record(instance.loaded, [Act(verb)])


def announce(stack: Stack, how_to_stop: str) -> None:
    """Say where everything is, and what whoever has started it should know."""
    instance, settings = stack.instance, stack.instance.settings
    console = f"http://127.0.0.1:{settings.ui_port}" if instance.with_ui else "none (--no-ui)"
    terminal.put(f"Console:     {console}")
    terminal.put(f"Drop files:  {settings.spool}/inbox")
    terminal.put(f"Stop:        {how_to_stop}")
    sys.stdout.flush()
    _warn_of_handlers(instance)
    if instance.with_ui and not (settings.spool / "users.json").exists():
        terminal.say("The console shows and does not change until there is a password: pqfs auth set-password")
    if stack.replaced is not None:
        terminal.say(f"--consumers takes the place of {len(stack.replaced)} that `pqfs consumers` was asked for.")
    elif instance.roster is not None:
        usual = f"the settings say {settings.consumers} (back to them: pqfs up --consumers {settings.consumers})"
        terminal.say(f"Consumers: {len(instance.consumers())}, as `pqfs consumers` was asked for; {usual}.")


def _warn_of_handlers(instance: Instance) -> None:
    """Name each program that is not there: all jobs of its queues would fail, one after the other."""
    from pqfs.handlers.command import unfit
    from pqfs.handlersettings import CommandHandler

    settings = instance.settings
    folder = str(instance.loaded.config.parent if instance.loaded.config else instance.directory)
    for name in settings.queue_names():
        handler = settings.queue(name).handler
        if isinstance(handler, CommandHandler) and (why := unfit(handler.command[0], folder)):
            terminal.say(f"Queue {name}: {why} Its jobs fail as long as that is so: pqfs doctor")


def down(
    context: typer.Context,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until all has ended.")] = 90.0,
) -> None:
    """Stop everything; jobs that run are finished first."""
    from pqfs.stack.starting import Stack

    instance = _instance(context)
    stack = Stack(instance)
    if stack.supervisor.is_listening():
        _note(instance, "down")
    if not stack.stop(timeout):
        terminal.say_error(f"Not everything has ended after {timeout:g} s; it goes on ending.", "Look: pqfs ps")
        raise typer.Exit(3)
    terminal.say("Stopped.")


def ps(context: typer.Context, as_json: terminal.Json = False) -> None:
    """Show the processes of this spool and what each runs now."""
    from pqfs.clock import SystemClock
    from pqfs.stack.presence import processes
    from pqfs.stack.supervisor import Supervisor

    instance = _instance(context)
    rows = processes(instance.run, Supervisor(instance.socket), SystemClock())
    if as_json:
        terminal.put_json("processes", [asdict(row) for row in rows])
    else:
        terminal.put_table(map(_shown, rows), ("program", "state", "pid", "uptime", "owner", "runs"))
        if old := [row.program for row in rows if row.outdated]:
            terminal.say(f"pqfs.toml has changed since these were started: {', '.join(old)}.")
            terminal.say("Restart to apply: pqfs consumers restart")


def _shown(row: Row) -> dict[str, object]:
    runs = f"{row.job} for {row.running_for:.1f} s" if row.job else None
    if row.progress:
        runs = f"{runs}, {row.progress:.0%}"
    return {**asdict(row), "uptime": None if row.uptime is None else terminal.elapsed(row.uptime), "runs": runs}


def logs(
    context: typer.Context,
    programs: Annotated[list[str] | None, typer.Argument(metavar="[PROGRAM]…", help="Whose; all by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of each.")] = 100,
    raw: Annotated[bool, typer.Option("--raw", help="Lines of JSON as they are.")] = False,
) -> None:
    """Show the ends of the logs: ingester, consumer, consumer-01, janitor, ui, supervisord."""
    from pqfs.stack import logs as files
    from pqfs.stack.logsearch import readable

    home, wanted = terminal.loaded(context).settings.logs, programs or []
    found = files.log_files(home, wanted)
    if not found and not follow:
        raise Refused(f"There are no logs in {home}.", "They come with the first start: pqfs up")
    for path in found:
        for line in files.last_lines(path, lines):
            terminal.put(_labelled(path.stem, line if raw else readable(line), len(found)))
    if follow:
        for program, line in files.follow(home, wanted):
            terminal.put(_labelled(program, line if raw else readable(line), len(found)))


def _labelled(program: str, line: str, of: int) -> str:
    return line if of == 1 else f"{program:<13} {line}"


def systemd(context: typer.Context, consumers: Consumers = None, no_ui: NoUi = False, ui_port: UiPort = None) -> None:
    """Print a unit file that runs `pqfs up` on this spool at boot."""
    from pqfs.stack.unit import unit

    flags = ["--no-ui"] if no_ui else []
    for name, value in (("--consumers", consumers), ("--ui-port", ui_port)):
        flags += [name, str(value)] if value is not None else []
    terminal.put(unit(_instance(context, consumers, ui_port, not no_ui), flags).rstrip())


def ui(
    context: typer.Context,
    ui_port: UiPort = None,
    only: Annotated[
        str | None, typer.Option(help="`ops`: the pages that show and change nothing, for whoever comes.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Listen there, not on this host alone [127.0.0.1]. Needs a password.")
    ] = None,
) -> None:
    """Run the console in the foreground, as `pqfs up` does in the background.

    Without a password (`pqfs auth set-password`) it shows and does not change.
    """
    from pqfs.runtime import follow_supervisor
    from pqfs.stack.browser import command, variables

    found = terminal.loaded(context, ui_port=ui_port, ui_only=only, ui_address=address)
    line = command(found.settings)
    os.environ |= variables(found)
    follow_supervisor()  # what was asked of the kernel survives the exec
    os.chdir(Path(line[1]).parent.parent)
    os.execv(line[0], line)
