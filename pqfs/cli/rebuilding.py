"""`pqfs index …`: making the index again, copying it, looking at it."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pqfs.cli import progress, terminal
from pqfs.cli.glance import size
from pqfs.clock import SystemClock, stamp
from pqfs.errors import Corrupt, Refused, SchemaTooNew, Unavailable
from pqfs.owners import Owners
from pqfs.spool import Spool
from pqfs.wiring import open_index

if TYPE_CHECKING:
    import typer

    from pqfs.settings import Settings


def rebuild(context: typer.Context, fresh: bool, yes: bool) -> None:
    """Put a damaged index aside if there is one, and register every payload of the tree."""
    settings = terminal.loaded(context).settings
    _refuse_company(settings)
    damage = _damage(settings)
    if damage:
        terminal.say(f"The index is damaged: {damage}")
    elif fresh and (settings.spool / "index.db").exists():
        terminal.confirm("The index is sound. Lose attempts, events and budgets, and begin anew?", yes)
    if damage or fresh:
        _put_aside(settings.spool / "index.db")
    open_index(settings).close()  # an empty one, which nobody else would start beside a spool that holds jobs
    app = terminal.opened(context)
    try:
        total = sum(1 for _ in app.spool.payloads())
        with progress.bar("registering", total) as advance:
            counts = app.recovery().rebuild(lambda number: advance(1))
    finally:
        app.close()
    said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing was missing"
    terminal.say(f"The index is made: {said}.")


def _refuse_company(settings: Settings) -> None:
    """Nobody may work on the spool meanwhile: a payload in claimed/ would come back while it runs."""
    Spool(settings.spool).close()
    living = Owners(settings.spool / "run").living()
    if living:
        names = ", ".join(each.owner for each in living)
        raise Refused(f"Processes of pqfs are alive on this spool: {names}.", "Stop them first: pqfs down")


def _damage(settings: Settings) -> str | None:
    """What is wrong with the index; None when it is sound or not there.

    Raises:
        SchemaTooNew: a newer pqfs wrote it; that is no damage.
    """
    if not (settings.spool / "index.db").exists():
        return None
    try:
        with closing(open_index(settings)) as index:
            problems = index.engine.integrity()
    except SchemaTooNew:
        raise
    except (Corrupt, Unavailable) as error:
        return error.message
    return problems[0] if problems else None


def _put_aside(index: Path) -> None:
    aside = f"{index.name}.{stamp(SystemClock().now())}.aside"
    for suffix in ("-wal", "-shm", ""):
        try:
            os.rename(f"{index}{suffix}", index.with_name(f"{aside}{suffix}"))
        except FileNotFoundError:
            continue
    terminal.say(f"It is kept as {index.with_name(aside)}.")


def backup(context: typer.Context, file: Path) -> None:
    """Copy the index."""
    if file.exists():
        raise Refused(f"{file} is there already.", "A backup never overwrites.")
    if not file.parent.is_dir():
        raise Refused(f"There is no folder {file.parent}.")
    app = terminal.opened(context, read_only=True)
    try:
        app.index.engine.backup(str(file))
    finally:
        app.close()
    file.chmod(0o600)
    terminal.put(str(file))


def version(context: typer.Context, as_json: bool) -> None:
    """Schema, library, size."""
    from pqfs.index.sqlite import SqliteEngine, settings_of

    app = terminal.opened(context, read_only=True)
    try:
        engine = app.index.engine
        facts = dict(settings_of(engine)) if isinstance(engine, SqliteEngine) else {"schema": engine.schema_version()}
    finally:
        app.close()
    if as_json:
        terminal.put_json("index", [facts])
        return
    for key, value in facts.items():
        terminal.put(f"{key:<10} {size(value) if isinstance(value, int) and key.endswith('bytes') else value}")
