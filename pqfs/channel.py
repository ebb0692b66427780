"""Lines of JSON over a socket between a consumer and its runner. Neither side ever waits for half a line."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]


class Channel:
    """One end. Sending keeps what the kernel does not take; receiving keeps what is not a whole line yet."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._unsent = b""
        self._unread = b""
        self.is_closed = False

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Whether `flush` must be called once the socket can be written again."""
        return bool(self._unsent)

    def send(self, message: Message) -> None:
        """Queue a message and send what goes without waiting. On a closed channel it is dropped."""
        self._unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what is queued, as far as it goes."""
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return
            except (BrokenPipeError, ConnectionResetError):
                self._unsent = b""
                return
            self._unsent = self._unsent[sent:]

    def receive(self) -> Iterator[Message]:
        """The whole messages that have arrived; waits for the first one if the socket blocks."""
        if self.is_closed:
            return
        try:
            data = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.is_closed = not data
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            yield json.loads(line)

    def messages(self) -> Iterator[Message]:
        """Every message until the peer closes; for a socket that blocks."""
        while not self.is_closed:
            yield from self.receive()

    def drain(self) -> Iterator[Message]:
        """Everything that a peer which has ended still said."""
        while not self.is_closed and select.select([self._socket], [], [], 0)[0]:
            yield from self.receive()

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
