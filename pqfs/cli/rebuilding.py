"""`pqfs index …`: making the index again, copying it, putting a copy back, looking at it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pqfs import naming
from pqfs.backup import back_up
from pqfs.cli import progress, terminal
from pqfs.cli.glance import size
from pqfs.cli.recording import Act, note
from pqfs.clock import SystemClock, stamp
from pqfs.custody import (
    Custody,
    Identity,
    Relation,
    bar_for_now,
    forget_move,
    is_barred,
    read_identity,
    refuse_foreign,
    refuse_moved,
    relation,
    unbar,
    write_identity,
)
from pqfs.errors import IndexDamaged, IndexGone, PqfsError, Refused, SchemaTooNew, Unavailable
from pqfs.hosts import others_at_work
from pqfs.index import Index
from pqfs.index.recording import forget_changes
from pqfs.index.sqlite import SqliteEngine
from pqfs.jobqueue import JobQueue
from pqfs.model import State
from pqfs.modes import refuse_root
from pqfs.opening import seal
from pqfs.owners import Owners, ask_to_end
from pqfs.rebuild import Rebuild
from pqfs.reckoning import Reckoning
from pqfs.spool import Spool
from pqfs.wiring import open_index

if TYPE_CHECKING:
    import typer

    from pqfs.settings import Settings

_DRAIN = 60.0  # seconds beyond the drain of a consumer until the index is given free
_LOOK = 0.5  # seconds between two looks at who has begun meanwhile
_COPY = ".index.restored"
_EXCHANGED = IndexGone("The index is being exchanged; work goes on when that is done.", "See: pqfs ps")


@dataclass(frozen=True, slots=True)
class Site:
    """A spool whose index nobody else uses."""

    settings: Settings
    spool: Spool
    owners: Owners

    @property
    def path(self) -> Path:
        """The index."""
        return self.settings.index_file


# -------------------------------------------------------------------- rebuild


def rebuild(context: typer.Context, fresh: bool, restart: bool, yes: bool) -> None:
    """Put a broken index aside if there is one, and register every payload of the tree."""
    with alone(terminal.loaded(context).settings, restart) as site:
        if not fresh and not site.settings.has_index():
            refuse_moved(site.spool, site.settings.index_place)
        problem = _problem(site)
        if problem:
            terminal.say(problem)
        elif fresh and site.settings.has_index():
            terminal.confirm("The index is sound. Lose attempts, events and budgets, and begin anew?", yes)
        if problem or fresh or not site.settings.has_index():
            _clear(site)  # of one that is gone its log may be left
            forget_move(site.spool)
        counts = _fill(site, Act("rebuild the index", reason=problem))
    said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing was missing"
    terminal.say(f"The index is made: {said}.")


@contextmanager
def alone(settings: Settings, restart: bool, reason: PqfsError = _EXCHANGED) -> Iterator[Site]:
    """Nobody else works on the spool: a payload in claimed/ would come back while it runs.

    With `restart` those who work are asked to finish. Supervisor starts them again at once; they find the index
    barred for that `reason`, wait, and go on when it is free.
    """
    refuse_root(settings.spool)
    spool = Spool(settings.spool)
    if read_identity(spool):
        Spool.create(settings.spool)  # a copy of a spool has no run/, and maybe no empty folder
    spool.check_one_file_system()
    custody, owners = Custody(spool), Owners(settings.spool / "run")
    was_barred, word = is_barred(spool), bar_for_now(spool, reason) if restart else None
    try:
        if restart:
            _ask_to_wait(owners, custody, settings)
        elif owners.living() or not custody.enter_alone():
            names = ", ".join(each.owner for each in owners.living()) or "a command"
            raise Refused(
                f"Processes of pqfs are alive on this spool: {names}.",
                "Stop them first: pqfs down; or have them wait: --restart",
            )
        yield Site(settings, spool, owners)
        unbar(spool)
    except BaseException:
        if not was_barred:
            unbar(spool)
        raise
    finally:
        if word is not None:
            os.close(word)
        custody.release()
        spool.close()


def _ask_to_wait(owners: Owners, custody: Custody, settings: Settings) -> None:
    asked: set[str] = set()
    deadline = time.monotonic() + settings.consume.drain + _DRAIN
    while True:
        # Race: who had opened the index before it was barred, and has only just begun, is known as an owner later.
        if found := ask_to_end(owners, asked):
            terminal.say(f"Waiting until they have finished: {', '.join(each.program for each in found)}.")
        asked.update(each.owner for each in found)
        if custody.enter_alone(_LOOK):
            return
        if time.monotonic() > deadline:
            raise Unavailable("Somebody still uses the index.", "Look: pqfs ps. Or stop everything: pqfs down")


def _problem(site: Site) -> str | None:
    """Why the index can not be used, as a sentence; None when it is sound or not there.

    Raises:
        SchemaTooNew: a newer pqfs wrote it; that is nothing to repair.
    """
    if not site.settings.has_index():
        return None
    try:
        with closing(open_index(site.settings)) as index:
            refuse_foreign(site.spool, index)
            refuse_others(site.settings, index)
            problems = index.engine.integrity()
    except SchemaTooNew:
        raise
    except IndexGone as error:
        return error.message
    except Unavailable as error:
        if type(error) is not Unavailable:
            raise  # busy, or no room: that is no damage
        return error.message
    return IndexDamaged(problems[0]).message if problems else None


def refuse_others(settings: Settings, index: Index) -> None:
    """Refuse an index on a server that other hosts work with. Raises Refused."""
    if others := others_at_work(settings, index, index.engine.clock()):
        raise Refused(f"Another host works on this spool: {', '.join(others)}.", "Stop it first, there: pqfs down")


def _clear(site: Site) -> None:
    """Make room for a new index: a file is kept aside, a server's tables are removed, if they are this spool's."""
    if site.settings.index_server is None:
        put_aside(site.path)
        return
    from pqfs.index.postgres import PostgresEngine

    with closing(PostgresEngine(site.settings.index_server)) as engine:
        refuse_foreign(site.spool, Index(engine))
        engine.start_over()


def put_aside(index: Path) -> None:
    """Give an index and its log other names, and say so."""
    aside = f"{index.name}.{stamp(SystemClock().now())}.aside"
    for suffix in ("-wal", "-shm", ""):
        try:
            os.rename(f"{index}{suffix}", index.with_name(f"{aside}{suffix}"))
        except FileNotFoundError:
            continue
    if index.with_name(aside).exists():
        terminal.say(f"It is kept as {index.with_name(aside)}.")


def _fill(site: Site, act: Act) -> dict[State, int]:
    """Register what the tree holds, and note who wanted that.

    Killed on the way: whoever opens the index next finds no mark, and goes on.
    """
    has_log = site.settings.index_server is not None or site.settings.index_log.exists()
    with closing(open_index(site.settings)) as index:
        mark, marked = read_identity(site.spool), index.identity()
        found = relation(mark, marked, has_log)
        if mark is None:
            write_identity(site.spool, Identity(marked[0], max(0, marked[1]), False) if marked else Identity.new())
        jobqueue, clock = JobQueue(site.spool, index, site.settings), SystemClock()
        total = sum(1 for each in site.spool.payload_directories() for _ in site.spool.listing(each))
        with progress.bar("registering", total) as advance, index.engine.bulk():
            if found is Relation.SAME or not index.counts():
                counts = Rebuild(jobqueue, site.owners, clock).run(advance)
            else:
                counts = Reckoning(jobqueue, site.owners, clock, found is not Relation.NEWER).run(advance)
        note(index, [act], clock.now())
        seal(site.spool, index, is_open=False)
    return counts


# -------------------------------------------------------------------- backup and restore


def backup(context: typer.Context, file: Path) -> None:
    """Copy the index, whole or not at all."""
    app = terminal.opened(context, read_only=True)
    try:
        back_up(app.index, file)
    finally:
        app.close()
    terminal.put(str(file))


def restore(context: typer.Context, file: Path, restart: bool, yes: bool) -> None:
    """Put a copy of the index in the place of the present one, and bring it up to date with the tree."""
    settings = terminal.loaded(context).settings
    if settings.index_server:
        raise Refused(
            "An index on PostgreSQL is restored with the server's own tools.",
            "Then: pqfs fsck, to hold it against the spool",
        )
    if not file.is_file():
        raise Refused(f"There is no file {file}.")
    with alone(settings, restart) as site:
        copy = _checked_copy(site, file)
        try:
            terminal.confirm("Put it in the place of the present index? That one is kept aside.", yes)
            put_aside(site.path)
            os.rename(copy, site.path)
        finally:
            copy.unlink(missing_ok=True)
        counts = _fill(site, Act("restore the index", reason=f"from {naming.printable_path(str(file))}"))
    said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing had changed since"
    terminal.say(f"The index is restored. Brought up to date with the spool: {said}.")


def _checked_copy(site: Site, file: Path) -> Path:
    """A copy of the file beside the index, one that can be used: whole, of a known schema, and this spool's.

    Raises:
        Refused, Corrupt: it can not be used; nothing was changed.
    """
    copy = site.path.with_name(_COPY)
    copy.unlink(missing_ok=True)
    shutil.copyfile(file, copy)
    copy.chmod(0o600)
    try:
        with closing(Index(SqliteEngine(copy))) as index:
            problems = index.engine.integrity()
            refuse_foreign(site.spool, index)
            with index.transaction():
                forget_changes(index.engine)  # copied while it was moved
                if marked := index.identity():
                    index.identify(marked[0], -1)  # a copy, however it was made: older than the tree
    except IndexDamaged as error:
        problems = [error.problem]
    except BaseException:
        copy.unlink()
        raise
    if problems:
        copy.unlink()
        raise Refused(f"{file} can not be used: {problems[0]}.", "Take another copy; or: pqfs index rebuild")
    return copy


# -------------------------------------------------------------------- version


def version(context: typer.Context, as_json: bool) -> None:
    """Schema, library, size."""
    from pqfs.index.sqlite import settings_of

    app = terminal.opened(context, read_only=True)
    try:
        engine = app.index.engine
        facts: dict[str, object] = {"schema": engine.schema_version(), "place": app.settings.index_place}
        if isinstance(engine, SqliteEngine):
            facts = dict(settings_of(engine))
    finally:
        app.close()
    if as_json:
        terminal.put_json("index", [facts])
        return
    for key, value in facts.items():
        terminal.put(f"{key:<10} {size(value) if isinstance(value, int) and key.endswith('bytes') else value}")
