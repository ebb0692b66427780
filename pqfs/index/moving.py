"""Brings one index level with another, whatever engines they are on: every table, row by row, in order of keys.

Both sides are read along their keys and held against each other; only what differs is written. So a move that was cut
off goes on with what is still missing, and a second pass that finds nothing to write is the proof that all is there.
Texts have the same order on both engines and in Python: that of their code points.

The source may be in use meanwhile (`Move`). Then its changes are recorded before the first row is read, and each row
was held against the source after its last change: one that has not changed since, by `compare`; one that has, when
its entry was taken and it was carried over. A difference that no change explains is a fault. At the end nobody writes
to the source any more, and no entry is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from pqfs.errors import PqfsError, Unavailable
from pqfs.index import Engine
from pqfs.index.recording import Recording, forget_changes, read
from pqfs.index.tables import JOBS, ROWS, TABLES, Table

_CHUNK = 1000  # rows: read at once, and written in one transaction
_SMALL = 2000  # entries: about a second's work
_ROUNDS = 20  # who changes rows faster than they can be carried over waits at the end
_Row = tuple[Any, ...]
_Advance = Callable[[int], None]
_Pair = tuple[_Row | None, _Row | None]


def bring_level(source: Engine, target: Engine, advance: _Advance, tables: Iterable[Table] = TABLES) -> int:
    """Make the target hold exactly the rows of the source; how many had to be written or removed.

    `advance` is told of rows of the source that have been dealt with. What is written is durable at the end. Where
    others write to the source, it is what each row was at one moment of this.
    """
    with target.bulk():
        return sum(_Leveller(source, target, table, advance).run() for table in tables)


def size_of(engine: Engine) -> int:
    """How many rows an index has."""
    return sum(count for _, count in _sizes(engine))


def _sizes(engine: Engine) -> list[tuple[str, int]]:
    return [(table.name, int(engine.run(f"count_{table.name}", {})[0][0])) for table in TABLES]


@contextmanager
def moving(source: Engine, target: Engine) -> Iterator[Move]:
    """A move, as long as it is under way: which rows of the source change is recorded, and no trace of that is left.

    Who is killed leaves it; the next move, and `forget_changes`, remove it.
    """
    move = Move(source, target)
    try:
        yield move
    except BaseException:
        with suppress(PqfsError):  # the first error counts
            move.end()
        raise


class Move:
    """The steps of a move, in their order: copy, compare, catch up; then, when nobody writes any more, finish.

    Nobody else uses the target. It gets every row but the mark that tells whose index it is.
    """

    def __init__(self, source: Engine, target: Engine) -> None:
        self._source = source
        self._target = target
        self._recording = Recording(source)
        self._is_over = False

    def copy(self, advance: _Advance) -> None:
        """All rows, each as it is when it is read."""
        bring_level(self._source, self._target, advance, ROWS)

    def compare(self, advance: _Advance) -> None:
        """Hold all rows against each other.

        Raises:
            Unavailable: some differ, and have not changed.
        """
        self._refuse(sum(map(len, (self._faults(table, advance) for table in ROWS))))

    def _faults(self, table: Table, advance: _Advance) -> list[_Row]:
        """The keys under which the two differ though nothing has changed there.

        Whatever was read, its entry was there before: who changes a row makes both in one transaction.
        """
        differing = []
        for number, (mine, theirs) in enumerate(pairs(self._source, self._target, table), 1):
            if mine != theirs:
                differing.append(table.key(mine or theirs or ()))
            if number % _CHUNK == 0:
                advance(_CHUNK)
        return [key for key in differing if not self._recording.has(table, key)]

    def waiting(self) -> int:
        """How many rows have changed and are still to be carried over."""
        return self._recording.size()

    def catch_up(self, advance: _Advance) -> None:
        """Carry over what has changed, until only little is left, or as much as there was before."""
        before = self.waiting()
        for _ in range(_ROUNDS):
            if before < _SMALL:
                return
            self._round(before, advance)
            before, last = self.waiting(), before
            if before >= last:
                return

    def _round(self, entries: int, advance: _Advance) -> None:
        while entries > 0 and (carried := self.carry()):
            advance(carried)
            entries -= carried

    def carry(self) -> int:
        """Carry over some rows that have changed, and read them back; how many, 0 when there are none.

        Raises:
            Unavailable: the target does not keep what is written, or somebody has ended this move.
        """
        found = self._recording.take()
        if not found:
            return 0
        with self._target.transaction():
            for table in ROWS:
                self._write(table, found.get(table.name, {}))
        kept = {
            table.name: read(self._target, table, list(found[table.name])) for table in ROWS if table.name in found
        }
        self._refuse(sum(kept[name][key] != row for name, rows in found.items() for key, row in rows.items()))
        return sum(map(len, found.values()))

    def _write(self, table: Table, found: Mapping[_Row, _Row | None]) -> None:
        for key in (key for key, row in found.items() if row is None):
            self._target.run(f"drop_{table.name}", table.named(key))
        self._target.run_many(f"put_{table.name}", [table.named(row) for row in found.values() if row])

    def finish(self, advance: _Advance) -> int:
        """Carry over the rest, while nobody writes to the source; how many rows the target has.

        Raises:
            Unavailable: one has more rows than the other.
        """
        while carried := self.carry():
            advance(carried)
        mine, theirs = (dict(_sizes(engine)) for engine in (self._source, self._target))
        self._refuse(sum(abs(mine[table.name] - theirs[table.name]) for table in ROWS))
        return sum(theirs.values())

    def end(self) -> None:
        """Record no more. What the target lacks from here on nobody knows."""
        if not self._is_over:
            with self._source.transaction():
                forget_changes(self._source)
            self._is_over = True

    def _refuse(self, differing: int) -> None:
        if differing:
            raise Unavailable(
                f"{differing} rows of the index are not what they should be in its new place.",
                "Is its disk sound? Begin again.",
            )


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
        for mine, theirs in pairs(self._source, self._target, self._table):
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

    def _key(self, row: _Row) -> Any:
        return self._table.key(row)

    def _write(self) -> int:
        """Write what was found to differ, in one transaction."""
        surplus, missing = self._surplus, self._with_a_job(self._missing)
        self._surplus, self._missing = [], []
        if surplus or missing:
            with self._target.transaction():
                for row in surplus:
                    self._target.run(f"drop_{self._table.name}", self._table.named(self._key(row)))
                self._target.run_many(f"put_{self._table.name}", map(self._table.named, missing))
        return len(surplus) + len(missing)

    def _with_a_job(self, found: list[_Row]) -> list[_Row]:
        """Without the keys of jobs that came after the jobs were copied: both are recorded, and come later."""
        if self._table.name != "keys" or not found:
            return found
        told = read(self._target, JOBS, [(row[-1],) for row in found])
        return [row for row in found if told[row[-1],]]


def pairs(source: Engine, target: Engine, table: Table) -> Iterator[_Pair]:
    """What the two sides have under each key that either has, in order."""
    ours, theirs = rows(source, table), rows(target, table)
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None or other is not None:
        first = min(table.key(row) for row in (mine, other) if row is not None)
        left = mine if mine is not None and table.key(mine) == first else None
        right = other if other is not None and table.key(other) == first else None
        yield left, right
        mine = next(ours, None) if left is not None else mine
        other = next(theirs, None) if right is not None else other


def rows(engine: Engine, table: Table) -> Iterator[_Row]:
    """All rows of a table in order of its key, a chunk in memory at a time."""
    page = engine.run(f"first_{table.name}", {"limit": _CHUNK})
    while page:
        yield from map(tuple, page)
        if len(page) < _CHUNK:
            return
        last = table.named(table.key(tuple(page[-1])))
        page = engine.run(f"next_{table.name}", {**last, "limit": _CHUNK})
