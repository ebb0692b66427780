"""The files of a set as one tar file: their names and bytes, and nothing else, so that the same files make the same.

Each is read through the descriptor of the file that was judged, and held against the SHA-256 that its producer told.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pqfs.errors import Rejected
from pqfs.inbox import Judgement, Verdict
from pqfs.sidecars import Wait

_BLOCK = 512
_TICK = 1 << 20  # bytes from one beat to the next
_RECORD = 20 * _BLOCK
_HEADERS = 3 * _BLOCK  # of a file, at most: its own, and one with a block for a long name or a large size


@dataclass(frozen=True, slots=True)
class Part:
    """One file on its way in: an open descriptor of it, its size, and what its SHA-256 should be."""

    name: str
    descriptor: int
    size: int
    sha256: str | None


def size_of(sizes: Sequence[int]) -> int:
    """Bytes that a bundle of files of these sizes has at most."""
    return sum(_HEADERS + -(-size // _BLOCK) * _BLOCK for size in sizes) + _RECORD


def write(target: Path, parts: Iterable[Part], tick: Callable[[], None]) -> int:
    """Write a new tar file, and return its size. `parts` are taken one at a time; `tick` is called at every MiB.

    Raises:
        Rejected: a file has another SHA-256 than its producer told.
        Wait: one can not be read now, or has become shorter.
    """
    import tarfile

    with tarfile.open(target, "x", format=tarfile.PAX_FORMAT) as tar:
        for part in parts:
            head = tarfile.TarInfo(part.name)
            head.size, head.mode = part.size, 0o640
            source = _Source(part, tick)
            tar.addfile(head, source)
            source.compare()
    return target.stat().st_size


class _Source:
    """Reads one part."""

    def __init__(self, part: Part, tick: Callable[[], None]) -> None:
        self._part = part
        self._tick = tick
        self._read = 0
        self._digest = hashlib.sha256() if part.sha256 else None

    def read(self, size: int = 0, /) -> bytes:
        """As many bytes as were asked for."""
        try:
            data = b"".join(self._blocks(size))
        except OSError as error:
            raise _wait(self._part, f"can not be read: {error.strerror}", 5.0) from error
        if len(data) < size:
            raise _wait(self._part, "has become shorter", 0.1)
        if self._digest is not None:
            self._digest.update(data)
        self._read += len(data)
        if self._read % _TICK < len(data):
            self._tick()
        return data

    def _blocks(self, size: int) -> Iterator[bytes]:
        while size and (block := os.read(self._part.descriptor, size)):
            size -= len(block)
            yield block

    def compare(self) -> None:
        """Hold what was read against what was told."""
        if self._digest is not None and self._digest.hexdigest() != self._part.sha256:
            found, part = self._digest.hexdigest(), self._part
            raise Rejected(f"the SHA-256 of {part.name} is {found}; the manifest says {part.sha256}")


def _wait(part: Part, why: str, seconds: float) -> Wait:
    return Wait(Judgement(Verdict.WAIT, f"{part.name} {why}", seconds))
