"""Which rows of an index change, while it is moved beside those who work with it.

A table of the index itself names them, at most one entry a row, written by triggers in the transaction that changes
the row: whatever the index tells, an entry of it is there, on any host, through any process. Both are made in one
transaction and removed in one; where no move is under way there is no trigger, and nobody pays.
"""

from __future__ import annotations

import json
import os

from pqfs.errors import Unavailable
from pqfs.index import Engine
from pqfs.index.tables import ROWS, Table

_BATCH = 500  # entries: others wait with their writes while so many rows are read
Row = tuple[object, ...]
Found = dict[str, dict[Row, Row | None]]  # by table and key: the row as it was, or None where there is none


class Recording:
    """The entries of one move. Who records anew ends the one before, which then says so."""

    def __init__(self, engine: Engine) -> None:
        """Begin to record. From here on each row that changes has an entry."""
        self._engine = engine
        self._whose = os.urandom(8).hex()
        with engine.transaction():
            engine.run("forget_changes", {})
            engine.run("record_changes", {})
            engine.run("sign_changes", {"whose": self._whose})

    def size(self) -> int:
        """How many entries there are."""
        return int(self._engine.run("count_changes", {})[0][0])

    def has(self, table: Table, key: Row) -> bool:
        """Whether a row has one."""
        return bool(self._engine.run(f"changed_{table.name}", table.named(key)))

    def take(self) -> Found:
        """Take some entries away, and read their rows as they are at that moment; empty when there is none.

        Both in one transaction, while nobody else writes: who changes such a row later makes a new entry. In order of
        their tables' names, so that a job comes with its keys or before: without it they can not be written.

        Raises:
            Unavailable: somebody has ended this recording.
        """
        with self._engine.transaction(lasting=False):
            self._refuse_ended()
            named = self._engine.run("take_changes", {"limit": _BATCH})
            keys: dict[str, list[Row]] = {}
            for kind, key in named:
                keys.setdefault(kind, []).append(tuple(json.loads(key)))
            return {table.name: read(self._engine, table, keys[table.name]) for table in ROWS if table.name in keys}

    def _refuse_ended(self) -> None:
        if whose_changes(self._engine) != self._whose:
            raise Unavailable("Somebody has ended this move of the index.", "Begin it again.")


def read(engine: Engine, table: Table, keys: list[Row]) -> dict[Row, Row | None]:
    """What an index has under these keys."""
    rows = map(tuple, engine.run_many(f"get_{table.name}", [table.named(key) for key in keys]))
    return dict.fromkeys(keys) | {table.key(row): row for row in rows}


def whose_changes(engine: Engine) -> str | None:
    """The sign of the move that records which rows change; None where none does."""
    if not engine.run("is_recorded", {}):
        return None
    return str(engine.run("whose_changes", {})[0][0])


def forget_changes(engine: Engine) -> None:
    """End the recording, if there is one: no entry and no trigger is left. In a transaction of the caller's."""
    engine.run("forget_changes", {})
