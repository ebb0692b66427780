"""A network between one host and the server, which a test can take away.

It listens on a port of its own and passes on to the server's socket. What it does not pass on it keeps, as kernels do
while they send again. A thread for each direction of each connection.
"""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

_AT_ONCE = 65536
_RESET = struct.pack("ii", 1, 0)  # a closed socket says that it is gone, and not that it has said all


class Relay:
    """One host's way to the server."""

    def __init__(self, server: Path) -> None:
        self._server = str(server)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._passable = threading.Event()
        self._passable.set()
        self._is_torn = self._is_over = False
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def part(self) -> None:
        """Let nothing through, in either direction, without a word: both ends believe that the other one lives."""
        self._passable.clear()

    def tear(self) -> None:
        """End all connections, and each new one: what both kernels do in the end when nothing goes through."""
        self._is_torn = True
        self._end_all()

    def mend(self) -> None:
        """Let everything through again, what was kept first."""
        self._is_torn = False
        self._passable.set()

    def close(self) -> None:
        """Be gone."""
        self._is_over = True
        self.mend()
        self._listening.close()
        self._end_all()

    def _accept(self) -> None:
        while not self._is_over:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return  # closed
            self._ends.append(near)
            if self._is_torn:
                _end(near)
            else:
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        """A connection through which nothing comes is one that the server never hears of."""
        self._passable.wait()
        far = socket.socket(socket.AF_UNIX)
        self._ends.append(far)
        try:
            far.connect(self._server)
        except OSError:
            _end(near)
            return
        threading.Thread(target=self._pass_on, args=(far, near), daemon=True).start()
        self._pass_on(near, far)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(_AT_ONCE):
                self._passable.wait()
                target.sendall(data)
        except OSError:
            pass  # torn, or an end has gone without a word: so does the other
        self._passable.wait()
        _end(source)
        _end(target)

    def _end_all(self) -> None:
        for end in self._ends:
            _end(end)


def _end(end: socket.socket) -> None:
    try:
        if end.family is socket.AF_INET:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it was closed before
    end.close()
