"""Worlds whose index is on PostgreSQL: one database, for one world at a time. `PQFS_TEST_INDEX=postgres`."""

from __future__ import annotations

from pathlib import Path

from pqfs.errors import Unavailable
from pqfs.index import Engine
from pqfs.index.postgres import PostgresEngine
from pqfs.index.session import Session
from tests.crash.harness import Fuse, remove_index
from tests.databases import emptied


class ServedEngine(PostgresEngine):
    """Its commits are effects, in the sequence of all others."""

    def __init__(self, address: str, fuse: Fuse) -> None:
        self._fuse = fuse
        super().__init__(address, durable=False)

    @property
    def _connection(self) -> Session:
        """What tells whether a transaction is under way."""
        return self._session

    def _commit(self) -> None:
        self._fuse.effect("C")
        super()._commit()
        if self._fuse.is_answer_lost():
            raise Unavailable("the commit happened, its answer got lost, and the server does not come back")


class Database:
    """The one database of these worlds."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._broom = PostgresEngine(address, durable=False)
        self._opened: list[Engine] = []

    def begin(self, root: Path) -> None:
        """Empty it for a new world; the one before has ended."""
        self._end()
        remove_index(root)
        emptied(self._broom)

    def connect(self, _path: Path, fuse: Fuse) -> Engine:
        """Open it."""
        self._opened.append(ServedEngine(self._address, fuse))
        return self._opened[-1]

    def lose(self, _root: Path) -> None:
        """Somebody takes everything out of it."""
        self._broom.start_over()

    def close(self) -> None:
        """No world is left."""
        self._end()
        self._broom.close()

    def _end(self) -> None:
        for engine in self._opened:
            engine.close()
        self._opened.clear()
