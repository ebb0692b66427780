"""`pqfs index move`: another place for the index, on whatever engine; nothing of it is forgotten.

The order of effects stands in spool/README.md under *Move*. Until the source is put aside it is the index, whole;
who is killed before begins again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pqfs.cli import progress, terminal
from pqfs.cli.rebuilding import alone, put_aside, refuse_others
from pqfs.cli.recording import Act, note
from pqfs.clock import SystemClock
from pqfs.custody import Relation, read_identity, refuse_foreign, relation, write_identity
from pqfs.errors import Refused, Unavailable
from pqfs.index import Index
from pqfs.index.moving import bring_level, size_of
from pqfs.settings import BESIDE, without_secret
from pqfs.spool import Spool
from pqfs.wiring import open_index

if TYPE_CHECKING:
    import typer

    from pqfs.settings import Settings


def move(context: typer.Context, source: str, target: str, yes: bool) -> None:
    """Copy the index row by row, hold both against each other, and put the source aside."""
    settings = terminal.loaded(context).settings
    here, there = _at(settings, source), _at(settings, target)
    if here.index_place == there.index_place:
        raise Refused(f"The index is at {here.index_place} already.")
    if not here.has_index():
        raise Refused(f"There is no index at {here.index_place}.", "Look where it is: pqfs config show")
    with alone(settings, restart=False) as site:
        with _both(site.spool, here, there) as (old, new):
            terminal.confirm(f"Move the index to {there.index_place}?", yes)
            rows = _carry_over(old, new)
            note(new, [Act("move the index", reason=f"from {here.index_place}")], SystemClock().now())
            _remember(site.spool, there)
            # Crash here: two whole indexes of one moment; whoever starts pqfs uses the one that the settings name,
            # and the other is older than the tree from then on.
            if here.index_server:
                _disown(old)
        if not here.index_server:
            put_aside(here.index_file)
    terminal.say(f"The index has moved: {rows} rows, each held against what it was.")
    if settings.index_place != there.index_place:
        address = without_secret(there.index)
        terminal.say(f'Now set its address, then start (pqfs up). In pqfs.toml: index = "{address}"')


def _at(settings: Settings, address: str) -> Settings:
    try:
        return replace(settings, index=address)
    except ValueError as error:
        raise Refused(f"{error}.") from error


@contextmanager
def _both(spool: Spool, here: Settings, there: Settings) -> Iterator[tuple[Index, Index]]:
    """The source, which is this spool's, and the target, which is nobody else's.

    Raises:
        IndexGone: the source is another spool's.
        Refused: so is the target; or the source is a copy of another day.
    """
    with closing(open_index(here)) as old, closing(open_index(there)) as new:
        refuse_foreign(spool, old)
        refuse_others(here, old)
        mark = read_identity(spool)
        if relation(mark, old.identity(), has_log=True) is not Relation.SAME:
            raise Refused(
                f"The index at {here.index_place} is not the present one of this spool.",
                "Start pqfs with it once, so that it is brought up to date: pqfs up",
            )
        if relation(mark, new.identity(), has_log=True) is Relation.FOREIGN:
            raise Refused(
                f"At {there.index_place} is the index of another spool.", "Give this one a place of its own."
            )
        yield old, new


def _carry_over(old: Index, new: Index) -> int:
    """Bring the new index level with the old one, and prove it; how many rows there are."""
    _disown(new)
    rows = size_of(old.engine)
    with progress.bar("moving", rows) as advance:
        bring_level(old.engine, new.engine, advance)
    with progress.bar("comparing", rows) as advance:
        differing = bring_level(old.engine, new.engine, advance)
    if differing:
        _disown(new)
        raise Unavailable(f"{differing} rows of the index changed while it was moved.", "Who writes it? See: pqfs ps")
    return rows


def _remember(spool: Spool, there: Settings) -> None:
    """Note in the spool where its index goes; it is asked for only by who finds none."""
    if mark := read_identity(spool):
        write_identity(spool, replace(mark, moved=None if there.index == BESIDE else there.index_place))


def _disown(index: Index) -> None:
    """Take an index's mark away, so that nobody takes it for the whole truth."""
    with index.transaction():
        index.disown()
