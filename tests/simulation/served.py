"""The index of a simulated world on PostgreSQL, a transaction one effect of its gate. `PQFS_TEST_INDEX=postgres`.

As on SQLite all actors share one connection, since none of them ever waits inside a transaction; each remembers for
itself where its queues begin, as each process does. Every commit lasts there: a loss of power takes none back. What a
server makes of its own files, and what becomes of sessions, is the subject of other layers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from pqfs.errors import DiskFull, IndexBusy, Unavailable
from pqfs.index import Parameters, Row
from pqfs.index.heads import Heads
from pqfs.index.postgres import PostgresEngine
from pqfs.index.session import Session
from tests.databases import emptied
from tests.simulation.engine import BROKEN, BUSY, FULL
from tests.simulation.gate import Gate

_LOOK = 0.1  # seconds that pass between two looks at what can be claimed: in every tenth the memory is not trusted
_ERRORS = {BUSY: IndexBusy, FULL: DiskFull, BROKEN: Unavailable}


class SimulatedServer(PostgresEngine):
    """One connection for all actors of a history, and of the next."""

    def __init__(self, address: str) -> None:
        self._gate = Gate()
        self._lies = False
        self._memories: dict[object, Heads] = {}
        super().__init__(_with_own_schema(address), durable=False)

    def begin_anew(self, here: Path, gate: Gate) -> None:
        """An empty index for the next history."""
        self._gate, self._lies = gate, False
        self._memories.clear()
        emptied(self)

    def lose_power(self, choose: Callable[[int], int]) -> None:
        """Every commit has lasted; what processes remembered is gone."""
        self._memories.clear()

    @property
    def _connection(self) -> Session:
        """What tells whether a transaction is under way."""
        return self._session

    @contextmanager
    def transaction(self, lasting: bool = True) -> Iterator[None]:
        """One effect."""
        try:
            self._lies = bool(self._gate.effect("C"))
        except OSError as error:
            raise _ERRORS[error.errno or 0]("So the simulation wants.") from error
        try:
            with super().transaction(lasting):
                self._gate.in_transaction = True
                yield
        finally:
            self._gate.in_transaction = False

    def _commit(self) -> None:
        super()._commit()
        if self._lies:
            self._lies = False
            raise Unavailable("The commit happened, its answer got lost, and the server does not come back.")

    def run(self, name: str, parameters: Parameters) -> list[Row]:
        """Run a named statement and return its rows."""
        self._heads = self._memory()
        return super().run(name, parameters)

    def run_many(self, name: str, parameters: Iterable[Parameters]) -> list[Row]:
        """Run a named statement for each set of parameters and return all rows."""
        self._heads = self._memory()
        return super().run_many(name, parameters)

    def _memory(self) -> Heads:
        """What the one who acts just now knows of the heads of queues."""
        if (actor := self._gate.actor) not in self._memories:
            looks = count()
            self._memories[actor] = Heads(self._statements, self._session.run, lambda: next(looks) * _LOOK)
        return self._memories[actor]

    def close(self) -> None:
        """Nothing: the index outlives everybody who had it open."""

    def end(self) -> None:
        """Nobody needs it any more."""
        super().close()


def _with_own_schema(address: str) -> str:
    """An address of this process alone in a database that several of them share."""
    schema = f"simulated_{os.getpid()}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    return f"{address}&options=-csearch_path%3D{schema}"
