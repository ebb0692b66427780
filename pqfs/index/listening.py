"""Hears over a connection of its own that another host has made work: one listener a host rings its doorbell."""

from __future__ import annotations

from typing import Any

from pqfs.errors import Refused, Unavailable
from pqfs.index import wire
from pqfs.index.postgres import CHANNEL


class Listener:
    """One connection that only listens. A word is lost while it is not there: whoever waits polls as well.

    Raises:
        Refused: a proxy stands between, through which no word comes.
        Unavailable: the server does not answer.
    """

    def __init__(self, address: str) -> None:
        try:
            self._connection: Any = wire.connect(wire.complete(address), autocommit=True)
        except wire.Error as error:
            raise Unavailable(f"The index's server does not answer: {wire.first_line(error)}.") from error
        try:
            self._listen()
        except BaseException:
            self.close()
            raise

    def _listen(self) -> None:
        try:
            (pid,) = self._connection.execute("SELECT pg_backend_pid()").fetchone()
            if wire.is_pooled(self._connection, pid):
                raise Refused("Nobody is woken through a proxy that shares sessions.")
            self._connection.execute(f"LISTEN {CHANNEL}")
        except wire.Error as error:
            raise Unavailable(f"The index's server lets nobody listen: {wire.first_line(error)}.") from error

    def heard(self, timeout: float) -> bool:
        """Wait for a word, so many seconds at most; whether there was one.

        Raises:
            Unavailable: the connection is lost.
        """
        try:
            return any(True for _ in self._connection.notifies(timeout=timeout, stop_after=1))
        except wire.Error as error:
            raise Unavailable(f"The index's server was lost: {wire.first_line(error)}.") from error

    def close(self) -> None:
        """Listen no more."""
        self._connection.close()
