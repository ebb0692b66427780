"""The index of a simulated world: SQLite in memory, a transaction one effect of its gate.

A commit that returned is durable (`synchronous=FULL`), so a loss of power takes nothing from the index; a commit
in flight has happened or has not, and its caller may not be told which. What SQLite makes of its own files when
power is lost is the subject of other layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from pqfs.index import catalogue
from pqfs.index.sqlite import _TOKENS, SqliteEngine
from tests.simulation.gate import Gate

BUSY, FULL, BROKEN = 1, 2, 3  # how a commit that does not happen fails


class SimulatedEngine(SqliteEngine):
    """One connection for all actors: none of them ever waits inside a transaction."""

    def __init__(self, here: Path, gate: Gate) -> None:
        self.path = here
        self._gate = gate
        self._lies = False
        self._statements = catalogue.statements(_TOKENS)
        self._connection = apsw.Connection(":memory:", statementcachesize=200)
        self._connection.pragma("foreign_keys", True)
        self._file = None
        self._migrate()
        self._empty = self._connection.serialize("main")

    def begin_anew(self, here: Path, gate: Gate) -> None:
        """An empty index for the next history."""
        self.path, self._gate, self._lies = here, gate, False
        self._connection.deserialize("main", self._empty)

    def _begin(self) -> None:
        try:
            self._lies = bool(self._gate.effect("C"))
        except OSError as error:
            raise _ERRORS[error.errno or 0]("so the simulation wants") from error
        super()._begin()
        self._gate.in_transaction = True

    def _commit(self) -> None:
        super()._commit()
        if self._lies:
            self._lies = False
            raise apsw.IOError("the commit happened, its answer got lost")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One effect."""
        try:
            with super().transaction():
                yield
        finally:
            self._gate.in_transaction = False

    def close(self) -> None:
        """Nothing: the index outlives everybody who had it open."""


_ERRORS = {BUSY: apsw.BusyError, FULL: apsw.FullError, BROKEN: apsw.IOError}
