"""Who saw what when: names that are moved into directories, told by the kernel (inotify), with the time of the sight.

Watching costs a microsecond a name; listing an outbox again and again costs a core. No name is lost unseen: when the
kernel's queue overflows, that is an error.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_MOVED_TO, _OVERFLOW = 0x80, 0x4000
_HEAD = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A name that came, and when it was seen (seconds of the monotonic clock)."""

    name: str
    at: float

    @property
    def of(self) -> str:
        """The input that this output is of: every contender puts its name behind the last underscore."""
        return self.name.rpartition("_")[2]


class Sightings:
    """Watches directories for what is moved into them. A context manager."""

    def __init__(self, *directories: Path) -> None:
        self._descriptor = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        for directory in directories:
            _checked(_libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _MOVED_TO))

    def wait(self, seconds: float) -> list[Sighting]:
        """What came, as soon as anything has come; nothing when the time is over.

        Raises:
            OverflowError: names were lost, because nobody asked for too long.
        """
        if not select.select([self._descriptor], [], [], max(0.0, seconds))[0]:
            return []
        now = time.perf_counter()
        return [Sighting(name, now) for name in _names(os.read(self._descriptor, 1 << 18))]

    def wait_for(self, name: str, seconds: float) -> Sighting:
        """The sight of the output of an input of this name.

        Raises:
            TimeoutError: it did not come in time.
        """
        deadline = time.perf_counter() + seconds
        while (left := deadline - time.perf_counter()) > 0:
            for sighting in self.wait(left):
                if sighting.of == name:
                    return sighting
        raise TimeoutError(f"no output of {name} was seen within {seconds:g} s")

    def __enter__(self) -> Sightings:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def _names(data: bytes) -> Iterator[str]:
    position = 0
    while position < len(data):
        _, mask, _, length = _HEAD.unpack_from(data, position)
        if mask & _OVERFLOW:
            raise OverflowError("the kernel's queue of events overflowed: names were lost")
        position += _HEAD.size + length
        yield os.fsdecode(data[position - length : position].rstrip(b"\0"))


def _checked(answer: int) -> int:
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
