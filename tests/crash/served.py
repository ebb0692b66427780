"""Worlds whose index is on PostgreSQL: one database, for one world at a time. `PQFS_TEST_INDEX=postgres`.

A session is not ended with the process that had it, but given to the next: to open one, and to let the server plan
each statement anew, takes longer than most acts. All that the server would forget is undone before.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pqfs.errors import Unavailable
from pqfs.index import Engine
from pqfs.index.heads import Heads
from pqfs.index.postgres import PostgresEngine
from pqfs.index.schema import alone
from pqfs.index.session import Session
from tests.crash.harness import Fuse, InSpool
from tests.databases import emptied, tables


class ServedEngine(PostgresEngine):
    """Its commits are effects, in the sequence of all others."""

    def __init__(self, address: str, fuse: Fuse) -> None:
        self._fuse = fuse
        self.is_free = False
        super().__init__(address, durable=False)

    def begin_anew(self, fuse: Fuse) -> None:
        """Another process has opened the index."""
        self._fuse = fuse
        self._heads = Heads(self._statements, self._session.run)
        self._has_news = False
        self._migrate(alone)  # its tables may be gone
        self.is_free = False

    def close(self) -> None:
        """Its process has ended, and with it its transaction and its locks."""
        self._session.roll_back()
        if self._session._names:
            self._session._names.clear()
            self._session.run("SELECT pg_advisory_unlock_all()")
        self.is_free = True

    def end(self) -> None:
        """Nobody needs it any more."""
        super().close()

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
    """The one database of these worlds, and a picture of what was in it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._broom = PostgresEngine(address, durable=False)
        self._engines: list[ServedEngine] = []
        self._picture = 0  # the number of the newest, which is the only one that is kept
        self._broom._session.run("CREATE SCHEMA picture")
        for name in tables(self._broom):
            self._broom._session.run(f"CREATE TABLE picture.{name} AS TABLE {name}")

    def begin(self, root: Path) -> None:
        """Empty it for a new world; the one before has ended."""
        InSpool().lose(root)
        self._make_whole()
        emptied(self._broom)

    def connect(self, _root: Path, fuse: Fuse) -> Engine:
        """Open it."""
        for engine in self._engines:
            if engine.is_free:
                engine.begin_anew(fuse)
                return engine
        self._engines.append(ServedEngine(self._address, fuse))
        return self._engines[-1]

    def lose(self, _root: Path) -> None:
        """Somebody takes everything out of it."""
        self._broom.start_over()

    def photograph(self) -> Callable[[], None]:
        """Copy all rows, to bring them back until the next picture is taken."""
        self._make_whole()
        self._picture += 1
        number = self._picture
        self._copy("", "picture.")

        def bring_back() -> None:
            assert number == self._picture, "only the newest picture is kept"
            self._make_whole()
            self._copy("picture.", "")

        return bring_back

    def _copy(self, source: str, target: str) -> None:
        """All rows, without a word to the triggers that count them."""
        copied = [
            f"DELETE FROM {target}{name}; INSERT INTO {target}{name} SELECT * FROM {source}{name}"  # noqa: S608 -- ours
            for name in tables(self._broom)
        ]
        replica, origin = (f"SET session_replication_role = {role}" for role in ("replica", "origin"))
        self._broom._session.run("; ".join([replica, *copied, origin]))

    def _make_whole(self) -> None:
        """Who had lost it may not have come to the end of making it again."""
        for engine in self._engines:
            engine.close()
        self._broom._migrate(alone)

    def close(self) -> None:
        """No world is left."""
        for engine in self._engines:
            engine.end()
        self._broom.close()
