"""The index of a simulated world: SQLite in memory, a transaction one effect of its gate.

A lasting commit that returned is durable (`synchronous=FULL`), with all before it; a loss of power may take back any
number of the last commits that were not to last. A commit in flight has happened or has not, and its caller may not
be told which. What SQLite makes of its own files when power is lost is the subject of other layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import apsw

from pqfs.index import Engine, catalogue
from pqfs.index.schema import alone
from pqfs.index.sqlite import _TOKENS, SqliteEngine
from tests.simulation.gate import Gate

BUSY, FULL, BROKEN = 1, 2, 3  # how a commit that does not happen fails


class SimulatedIndex(Engine, Protocol):
    """What a simulated world asks of its index beyond what pqfs does."""

    def begin_anew(self, here: Path, gate: Gate) -> None:
        """An empty index for the next history."""

    def lose_power(self, choose: Callable[[int], int]) -> None:
        """What was not to last may be gone."""

    def end(self) -> None:
        """Nobody needs it any more."""


class SimulatedEngine(SqliteEngine):
    """One connection for all actors: none of them ever waits inside a transaction."""

    def __init__(self, here: Path, gate: Gate) -> None:
        self.path = here
        self._gate = gate
        self._lies, self._lasts, self._is_lasting = False, True, True
        self._undoable: list[bytes] = []  # the index before each commit since the last lasting one
        self._statements = catalogue.statements(_TOKENS)
        self._connection = apsw.Connection(":memory:", statementcachesize=200)
        self._connection.pragma("foreign_keys", True)
        self._file = None
        self._migrate(alone)
        self._empty = self._connection.serialize("main")

    def begin_anew(self, here: Path, gate: Gate) -> None:
        """An empty index for the next history."""
        self.path, self._gate, self._lies = here, gate, False
        self._connection.deserialize("main", self._empty)
        self._undoable.clear()

    def lose_power(self, choose: Callable[[int], int]) -> None:
        """None, some or all of the commits that were not to last have never been."""
        if taken_back := choose(len(self._undoable) + 1):
            self._connection.deserialize("main", self._undoable[-taken_back])
        self._undoable.clear()

    def _begin(self, lasting: bool) -> None:
        try:
            self._lies = bool(self._gate.effect("C"))
        except OSError as error:
            raise _ERRORS[error.errno or 0]("so the simulation wants") from error
        self._lasts = lasting
        if not lasting:
            self._undoable.append(self._connection.serialize("main"))
        super()._begin(True)
        self._gate.in_transaction = True

    def _commit(self) -> None:
        super()._commit()
        if self._lasts:
            self._undoable.clear()
        if self._lies:
            self._lies = False
            raise apsw.IOError("the commit happened, its answer got lost")

    @contextmanager
    def transaction(self, lasting: bool = True) -> Iterator[None]:
        """One effect."""
        try:
            with super().transaction(lasting):
                yield
        finally:
            self._gate.in_transaction = False

    def close(self) -> None:
        """Nothing: the index outlives everybody who had it open."""

    def end(self) -> None:
        """Nothing: it is in memory."""


_ERRORS = {BUSY: apsw.BusyError, FULL: apsw.FullError, BROKEN: apsw.IOError}
