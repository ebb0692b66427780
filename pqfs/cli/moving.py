"""`pqfs index move`: another place for the index, on whatever engine, while the pipeline works; nothing is forgotten.

The order of effects stands in spool/README.md under *Move*. Until the source is put aside it is the index, whole;
who is killed before begins again. Only the last of it needs everybody to wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pqfs.cli import progress, terminal
from pqfs.cli.addressing import readdress, told_in
from pqfs.cli.rebuilding import alone, put_aside, refuse_others
from pqfs.cli.recording import Act, note
from pqfs.clock import SystemClock
from pqfs.custody import Relation, read_identity, refuse_foreign, refuse_moved, relation, write_identity
from pqfs.errors import IndexGone, Misconfigured, Refused, Unavailable
from pqfs.index import Index
from pqfs.index.moving import Move, moving, size_of
from pqfs.index.recording import forget_changes
from pqfs.modes import refuse_root
from pqfs.settings import BESIDE, without_secret
from pqfs.spool import Spool
from pqfs.wiring import open_index

if TYPE_CHECKING:
    import typer

    from pqfs.settings import Loaded, Settings

_WAIT = IndexGone("The index is being moved; work goes on in a moment.", "See: pqfs ps")


def move(context: typer.Context, source: str, target: str, yes: bool) -> None:
    """Copy the index row by row beside those who use it, then have them wait for its last changes."""
    loaded = terminal.loaded(context)
    here, there = _at(loaded.settings, source), _at(loaded.settings, target)
    refuse_root(loaded.settings.spool)
    if here.index_place == there.index_place:
        raise Refused(f"The index is at {here.index_place} already.")
    with closing(Spool(loaded.settings.spool)) as spool:
        if not _is_over(spool, here, there):
            if not here.has_index():
                raise Refused(f"There is no index at {here.index_place}.", "Look where it is: pqfs config show")
            terminal.confirm(f"Move the index to {there.index_place}?", yes)
            _move(spool, loaded, here, there)
    _tell_address(loaded, here, there)


def _is_over(spool: Spool, here: Settings, there: Settings) -> bool:
    """Whether such a move was cut off when only the settings were left."""
    mark = read_identity(spool)
    if mark is None or mark.moved != _told(there):
        return False
    try:
        with closing(open_index(there, read_only=True)) as new:
            is_whole = _relation(spool, new) is Relation.SAME
        if here.index_server is None or not is_whole:
            return is_whole and not here.has_index()
        with closing(open_index(here, read_only=True)) as old:
            return old.identity() is None
    except (Unavailable, Misconfigured):
        return False


def _move(spool: Spool, loaded: Loaded, here: Settings, there: Settings) -> None:
    with _both(spool, loaded.settings, here, there) as (old, new):
        _disown(new)
        with moving(old.engine, new.engine) as under_way:
            _beside(under_way, old)
            began = time.monotonic()
            rows = _exchange(loaded, under_way, (here, old), (there, new))
    terminal.say(f"The index has moved: {rows} rows, each held against what it was.")
    terminal.say(f"The pipeline was paused for {time.monotonic() - began:.1f} s.")


def _beside(under_way: Move, old: Index) -> None:
    """All that can be done while others use the index."""
    # Crash here: the source records what changes until it is moved again, or the move is abandoned.
    rows = size_of(old.engine)
    with progress.bar("moving", rows) as advance:
        under_way.copy(advance)
    with progress.bar("comparing", rows) as advance:
        under_way.compare(advance)
    with progress.bar("catching up", under_way.waiting()) as advance:
        under_way.catch_up(advance)


def _exchange(loaded: Loaded, under_way: Move, source: tuple[Settings, Index], target: tuple[Settings, Index]) -> int:
    """Have everybody wait, carry over the rest, and let the target be the index; how many rows it has."""
    (here, old), (there, new) = source, target
    with alone(loaded.settings, restart=True, reason=_WAIT) as site:
        _refuse_other_than_present(site.spool, here, old)
        with progress.bar("the rest", under_way.waiting()) as advance:
            rows = under_way.finish(advance)
        # Crash here: nobody holds the word any more for which everybody waits: they go on where they were.
        note(new, [Act("move the index", reason=f"from {here.index_place}")], SystemClock().now())
        _hand_over(old, new)
        _remember(site.spool, there)
        # Crash here: two whole indexes of one moment; whoever starts pqfs uses the one that the settings name,
        # and the other is older than the tree from then on.
        under_way.end()
        if here.index_server:
            _disown(old)
        else:
            old.close()
            put_aside(here.index_file)
        # Crash here: the settings name a place where there is no index; who looks there is told where it is.
        readdress(loaded, here, there)
    return rows


def _tell_address(loaded: Loaded, here: Settings, there: Settings) -> None:
    if loaded.settings.index_place == there.index_place:
        return
    if readdress(loaded, here, there):
        terminal.say(f"{told_in(loaded)} names its new address.")
        return
    address = without_secret(there.index)
    terminal.say(f'Now set its address, then start (pqfs up). In pqfs.toml: index = "{address}"')


def abandon(context: typer.Context) -> None:
    """Forget a move that was cut off: the index stays where it is, and no longer notes which rows change."""
    settings = terminal.loaded(context).settings
    refuse_root(settings.spool)
    with closing(Spool(settings.spool)) as spool:
        if not settings.has_index():
            refuse_moved(spool, settings.index_place)
        with closing(open_index(settings)) as index:
            refuse_foreign(spool, index)
            with index.transaction():
                forget_changes(index.engine)
    terminal.say(f"The index stays at {settings.index_place}.")


def _at(settings: Settings, address: str) -> Settings:
    try:
        return replace(settings, index=address)
    except ValueError as error:
        raise Refused(f"{error}.") from error


@contextmanager
def _both(spool: Spool, settings: Settings, here: Settings, there: Settings) -> Iterator[tuple[Index, Index]]:
    """The source, which is this spool's, and the target, which is nobody else's.

    Raises:
        IndexGone: the source is another spool's.
        Refused: so is the target, or it is in use already; or the source is a copy of another day.
    """
    with closing(open_index(here)) as old, closing(open_index(there)) as new:
        _refuse_other_than_present(spool, here, old)
        found = _relation(spool, new)
        if found is Relation.FOREIGN:
            raise Refused(
                f"At {there.index_place} is the index of another spool.", "Give this one a place of its own."
            )
        if found is Relation.SAME and settings.index_place == there.index_place:
            raise Refused(f"The index is at {there.index_place} already.")
        yield old, new


def _refuse_other_than_present(spool: Spool, here: Settings, old: Index) -> None:
    refuse_foreign(spool, old)
    refuse_others(here, old)
    if _relation(spool, old) is not Relation.SAME:
        raise Refused(
            f"The index at {here.index_place} is not the present one of this spool.",
            "Start pqfs with it once, so that it is brought up to date: pqfs up",
        )


def _relation(spool: Spool, index: Index) -> Relation:
    return relation(read_identity(spool), index.identity(), has_log=True)


def _hand_over(old: Index, new: Index) -> None:
    """Give the new index the mark of the old one: from here on it is whole."""
    marked = old.identity()
    if marked:
        with new.transaction():
            new.identify(*marked)


def _remember(spool: Spool, there: Settings) -> None:
    """Note in the spool where its index goes; it is asked for only by who finds none."""
    if mark := read_identity(spool):
        write_identity(spool, replace(mark, moved=_told(there)))


def _told(there: Settings) -> str:
    """A place as the spool's mark tells it: its own stays right when the spool moves."""
    return BESIDE if there.index == BESIDE else there.index_place


def _disown(index: Index) -> None:
    """Take an index's mark away, so that nobody takes it for the whole truth."""
    with index.transaction():
        index.disown()
