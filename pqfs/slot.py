"""The slot: which attempt is running just now, in a file of the consumer's that survives every process.

The runner writes it (a memory map, no system call); the consumer reads it to watch the time and, when the
runner dies, to know exactly which job is charged. If the consumer dies too, recovery reads run/<owner>.slot.
`started` is CLOCK_BOOTTIME, written last when an attempt begins and first when it ends: 0 means idle.

The consumer beats here, too: a disk that is full or slow keeps its beat from the index, but not from memory.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

_LAYOUT = struct.Struct("<d36sId")  # started, job, attempt, progress
_STARTED = struct.Struct("<d")
_PROGRESS_AT = _LAYOUT.size - 8
_GENERATION = struct.Struct("<I")
_BEAT_AT = 64
SIZE = 128


@dataclass(frozen=True, slots=True)
class Running:
    """What the slot says: an attempt that runs, since when (boot time) and how far it says it is."""

    job: str
    attempt: int
    started: float
    progress: float


class Slot:
    """A mapped slot file. The consumer makes it, the runner opens it by its inherited descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, SIZE)

    @classmethod
    def create(cls, path: Path) -> tuple[Slot, int]:
        """Make an empty slot file; the slot and the descriptor to hand to the runner.

        Written, not stretched: a hole that can not be filled later, on a full disk, would kill who writes to the map.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.write(descriptor, b"\0" * SIZE)
        return cls(descriptor), descriptor

    def begin(self, job: str, attempt: int, now: float) -> None:
        """Note that an attempt runs from now on."""
        _LAYOUT.pack_into(self._map, 0, 0.0, job.encode(), attempt, 0.0)
        _STARTED.pack_into(self._map, 0, now)

    def progress(self, fraction: float) -> None:
        """Note how far the attempt is."""
        _STARTED.pack_into(self._map, _PROGRESS_AT, fraction)

    def end(self) -> None:
        """Note that nothing runs."""
        _STARTED.pack_into(self._map, 0, 0.0)

    @property
    def generation(self) -> int:
        """The assignments that count: the runner starts none of an older generation."""
        return int(_GENERATION.unpack_from(self._map, _LAYOUT.size)[0])

    def next_generation(self) -> None:
        """Make every assignment that was sent so far void, but for the attempt that runs."""
        _GENERATION.pack_into(self._map, _LAYOUT.size, self.generation + 1)

    def beat(self, now: float) -> None:
        """Note that the consumer lives (boot time)."""
        _STARTED.pack_into(self._map, _BEAT_AT, now)

    def read(self) -> Running | None:
        """What runs now; None when nothing does."""
        return _parse(self._map[: _LAYOUT.size])


def read_slot(path: Path) -> Running | None:
    """What a slot file says, whoever owns it; None when nothing runs there."""
    try:
        return _parse(path.read_bytes()[: _LAYOUT.size])
    except OSError:
        return None


def read_slot_beat(path: Path) -> float:
    """When the consumer of a slot file has last said that it lives (boot time); 0 when it never did."""
    try:
        return float(_STARTED.unpack_from(path.read_bytes(), _BEAT_AT)[0])
    except (OSError, struct.error):
        return 0.0


def _parse(data: bytes) -> Running | None:
    if len(data) < _LAYOUT.size:
        return None
    started, job, attempt, progress = _LAYOUT.unpack(data)
    if not started:
        return None
    return Running(job.decode("ascii", "replace"), attempt, started, progress)
