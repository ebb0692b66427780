"""How `pqfs init` works: refuse what can not be first, make what is missing, say what was there already."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pqfs.cli import terminal
from pqfs.index.sqlite import refuse_network
from pqfs.model import DEFAULT_QUEUE
from pqfs.modes import mend
from pqfs.places import DIRECTORIES
from pqfs.spool import Spool
from pqfs.stack.shipped import lay_contract

if TYPE_CHECKING:
    from pqfs.settings import Settings

STARTER = """\
# The settings of pqfs: what stands here takes the place of a default. `pqfs config show` shows all of them.
# Durations: 90s, 5m, 2h, 7d. Sizes: 64MiB. After a change: pqfs consumers restart

spool = "{spool}"
logs = "{logs}"

# consumers = 2                   # how many start with `pqfs up`
# durability = "strict"           # "relaxed" syncs nothing, and may lose the last jobs with the power
# low_water = "64MiB"             # work pauses while less than this is free

# [keep]                          # how long: 0, a duration, or "forever"
# done = "7d"                     # the inputs of completed jobs
# dead = "forever"                # those of jobs that failed for good
# rows = "90d"                    # what the index tells of completed jobs

# [defaults]                      # every queue, unless a section of its own says otherwise
# handler = "timestamp"           # or: {{ command = ["gzip", "--stdout", "{{input}}"], stdout = "output" }}
#                                 # or: {{ python = "module:function" }}, a module beside this file
# timeout = "1h"
# max_failures = 3
# backoff = "5s"

# [queues.mail]                   # files from inbox/mail/
# max_failures = 5
"""


def init(context: typer.Context, producers: str | None, with_config: bool) -> None:
    """Make a spool and what belongs to it, where it is missing.

    Raises:
        Misconfigured: the index can not work there; nothing was made.
    """
    settings = terminal.loaded(context, producers=producers).settings
    if settings.index_server is None:
        refuse_network(settings.index_file.parent)
    for name, path, make in _parts(settings, context):
        was_there = path.exists()
        make()
        terminal.say(f"{name:<10} {path} {'was there already' if was_there else 'made'}")
    if settings.index_server:
        terminal.opened(context).close()
        terminal.say(f"{'index':<10} {settings.index_place} is ready")
    mend(settings, queues=_queues(context))
    if with_config:
        _write_config(Path("pqfs.toml"), settings)
    terminal.put(str(settings.spool))
    terminal.say(f"Drop files into {settings.spool / 'inbox'}. Start with: pqfs up")


def _queues(context: typer.Context) -> list[str]:
    """The queues that have a directory in the inbox."""
    app = terminal.opened(context, read_only=True)
    try:
        return [row.name for row in app.index.queues() if row.name != DEFAULT_QUEUE]
    finally:
        app.close()


def _parts(settings: Settings, context: typer.Context) -> list[tuple[str, Path, Callable[[], object]]]:
    """What belongs to a spool, in the order in which it is made."""
    spool = settings.spool
    wanted = [spool, *(spool / name for name in DIRECTORIES)]
    missing = next((path for path in wanted if not path.exists()), spool)
    parts: list[tuple[str, Path, Callable[[], object]]] = [
        ("spool", missing, lambda: Spool.create(spool)),
        ("contract", spool / "README.md", lambda: lay_contract(spool)),
        ("logs", settings.logs, lambda: settings.logs.mkdir(parents=True, exist_ok=True)),
    ]
    if settings.index_server is None:
        parts.append(("index", settings.index_file, lambda: terminal.opened(context).close()))
    return parts


def _write_config(path: Path, settings: Settings) -> None:
    """Write the commented settings file; one that is there is never touched."""
    text = STARTER.format(spool=_told(settings.spool), logs=_told(settings.logs))
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        terminal.say(f"{'settings':<10} {path.absolute()} was there already, and stays as it is")
    else:
        terminal.say(f"{'settings':<10} {path.absolute()} made")


def _told(path: Path) -> str:
    """A path as it is best written beside the file: relative where it lies below."""
    here = Path(os.path.relpath(path))
    return str(path if here.parts[:1] == ("..",) else here).replace("\\", "\\\\").replace('"', '\\"')
