"""Brings one index level with another, whatever engines they are on: every table, row by row, in order of keys.

Both sides are read along their keys and held against each other; only what differs is written. So a move that was cut
off goes on with what is still missing, and a second pass that finds nothing to write is the proof that all is there.
Texts have the same order on both engines and in Python: that of their code points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pqfs.index import Engine
from pqfs.index.tables import TABLES, Table

_CHUNK = 1000  # rows: read at once, and written in one transaction
_Row = tuple[Any, ...]


def bring_level(source: Engine, target: Engine, advance: Callable[[int], None]) -> int:
    """Make the target hold exactly the rows of the source; how many had to be written or removed.

    `advance` is told of rows of the source that have been dealt with. Nobody else may use either meanwhile. What is
    written is durable at the end.
    """
    with target.bulk():
        return sum(_Leveller(source, target, table, advance).run() for table in TABLES)


def size_of(engine: Engine) -> int:
    """How many rows an index has."""
    return sum(int(engine.run(f"count_{table.name}", {})[0][0]) for table in TABLES)


class _Leveller:
    """One table."""

    def __init__(self, source: Engine, target: Engine, table: Table, advance: Callable[[int], None]) -> None:
        self._source = source
        self._target = target
        self._table = table
        self._advance = advance
        self._missing: list[_Row] = []
        self._surplus: list[_Row] = []

    def run(self) -> int:
        """Go along both sides at once; how many rows differed."""
        written = seen = 0
        for mine, theirs in self._pairs():
            seen += mine is not None
            if mine is None and theirs is not None:
                self._surplus.append(theirs)
            elif mine is not None and mine != theirs:
                self._missing.append(mine)
            if len(self._missing) + len(self._surplus) >= _CHUNK:
                written += self._write()
            if seen >= _CHUNK:
                self._advance(seen)
                seen = 0
        self._advance(seen)
        return written + self._write()

    def _pairs(self) -> Iterator[tuple[_Row | None, _Row | None]]:
        """What the two sides have under each key that either has, in order."""
        ours, theirs = rows(self._source, self._table), rows(self._target, self._table)
        mine, other = next(ours, None), next(theirs, None)
        while mine is not None or other is not None:
            first = min(self._key(row) for row in (mine, other) if row is not None)
            left = mine if mine is not None and self._key(mine) == first else None
            right = other if other is not None and self._key(other) == first else None
            yield left, right
            mine = next(ours, None) if left is not None else mine
            other = next(theirs, None) if right is not None else other

    def _key(self, row: _Row) -> Any:
        return self._table.key(row)

    def _write(self) -> int:
        """Write what was found to differ, in one transaction."""
        surplus, missing = self._surplus, self._missing
        self._surplus, self._missing = [], []
        if surplus or missing:
            with self._target.transaction():
                for row in surplus:
                    self._target.run(f"drop_{self._table.name}", self._table.named(self._key(row)))
                self._target.run_many(f"put_{self._table.name}", map(self._table.named, missing))
        return len(surplus) + len(missing)


def rows(engine: Engine, table: Table) -> Iterator[_Row]:
    """All rows of a table in order of its key, a chunk in memory at a time."""
    page = engine.run(f"first_{table.name}", {"limit": _CHUNK})
    while page:
        yield from map(tuple, page)
        if len(page) < _CHUNK:
            return
        last = table.named(table.key(tuple(page[-1])))
        page = engine.run(f"next_{table.name}", {**last, "limit": _CHUNK})
