"""The command line: options in, one call, an answer out, an exit code.

Exit codes: 0 done (an empty list is 0), 1 failed, 2 usage or settings, 3 declined or timed out, 4 not found,
5 not running, 6 unhealthy, 7 partly done; 130 and 143 are signals. Data goes to stdout, talk to stderr.

Each module below registers its commands on `app`; what a command needs beyond typer is imported inside it, so
that `pqfs status` does not wait for what only `pqfs up` uses.
"""

from __future__ import annotations

import os
import sys
from copy import copy
from itertools import islice
from typing import Annotated, Any

import typer
from typer.main import get_command, get_command_name
from typer.models import CommandInfo

from pqfs.cli import (
    api,
    audit,
    auth,
    consumers,
    dead,
    deploying,
    dropping,
    jobs,
    lineage,
    metering,
    monitor,
    notices,
    older,
    queues,
    scheduling,
    services,
    simulating,
    stack,
    terminal,
    torturing,
    upkeep,
)
from pqfs.cli.parameters import read_lazily
from pqfs.errors import PqfsError, explained

_UMASK = 0o027  # of every process of pqfs, see spool/README.md
_GLOBAL = ("--spool", "--logs", "--config")

app = typer.Typer(
    name="pqfs",
    help="A folder as a persistent job queue: copy files into spool/inbox, find one output each in spool/outbox.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _module in (
    stack, jobs, dropping, dead, lineage, queues, consumers, monitor, metering, upkeep, services, notices,
    simulating, torturing, audit, auth, scheduling, api, deploying,
):  # fmt: skip
    _module.register(app)


@app.callback()
def options(
    context: typer.Context,
    spool: Annotated[str | None, typer.Option(help="The spool directory [PQFS_SPOOL, ./spool].")] = None,
    logs: Annotated[str | None, typer.Option(help="Where logs are written [PQFS_LOGS, ./logs].")] = None,
    config: Annotated[str | None, typer.Option(help="The settings file [PQFS_CONFIG, ./pqfs.toml].")] = None,
) -> None:
    """Options that every command takes, before or after its name."""
    context.obj = {"spool": spool, "logs": logs, "config": config}


def main() -> None:
    """Run the command line and leave with its exit code. What it makes is nobody else's."""
    os.umask(os.umask(0o077) | _UMASK)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; errors of ours become one sentence and their exit code."""
    try:
        words = _understood(arguments)
        found = _command(words)(args=words, standalone_mode=False)
    except PqfsError as error:
        terminal.say_error(error.message, error.hint)
        return error.exit_code
    except typer.Abort:
        terminal.say_error("Stopped.")
        return 3
    except typer.TyperException as error:
        terminal.say_error(error.format_message(), f"See: {_misread(error)} --help")
        return error.exit_code
    except BrokenPipeError:
        return 0  # the reader of our output has seen enough
    except OSError as error:
        known = explained(error)
        if known is None:
            raise
        terminal.say_error(known.message)
        return known.exit_code
    except KeyboardInterrupt:
        return 130
    return found if isinstance(found, int) else 0


def _misread(error: typer.TyperException) -> str:
    """The command whose words were not understood, as it is written."""
    context, names = getattr(error, "ctx", None), []
    while context is not None and context.parent is not None:
        names.append(str(context.info_name))
        context = context.parent
    return " ".join(["pqfs", *reversed(names)])


def _command(words: list[str]) -> Any:
    """What these words may name. A shell that completes a line is offered what there is in the spool, too."""
    if "_PQFS_COMPLETE" in os.environ:
        from pqfs.cli.completing import with_values

        return with_values(read_lazily(get_command(app)))
    return read_lazily(get_command(_narrowed(words)))


def _narrowed(words: list[str]) -> typer.Typer:
    """The one command, or group of them, that is named; everything when none is, for help and for suggestions.

    Measured: to build all of them took 45 ms, a sixth of `pqfs status`.
    """
    name = next(islice(words, _options_before(words), None), "")
    only = copy(app)
    only.registered_commands = [each for each in app.registered_commands if _name(each) == name]
    only.registered_groups = [each for each in app.registered_groups if each.name == name]
    return only if only.registered_commands or only.registered_groups else app


def _name(command: CommandInfo) -> str | None:
    return command.name or (command.callback and get_command_name(command.callback.__name__))


def _understood(arguments: list[str]) -> list[str]:
    """The arguments as today's commands take them."""
    hoisted = _hoist(arguments)
    return older.translated(hoisted, _options_before(hoisted))


def _options_before(words: list[str]) -> int:
    """How many words are options for all commands and their values, which stand in front."""
    count = 0
    while count < len(words) and words[count].partition("=")[0] in _GLOBAL:
        count += 1 if "=" in words[count] else 2
    return count


def _hoist(arguments: list[str]) -> list[str]:
    """Move --spool, --logs and --config in front, so that they may stand anywhere before `--`."""
    front: list[str] = []
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        name, is_joined, _ = argument.partition("=")
        if argument == "--":
            return [*front, *rest, "--", *left]
        if name not in _GLOBAL:
            rest.append(argument)
        else:
            front += [argument] if is_joined else [argument, *[value for value in [next(left, None)] if value]]
    return [*front, *rest]
