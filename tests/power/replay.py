"""Builds the states of a recording, one after the other, and asks each what must hold.

Two images a disk: one that holds what was flushed so far and only grows, and a copy of it for each state, with the
part of the window that got through. The copy is a few megabytes in memory. A forked child mounts it, recovers, asks,
and unmounts: what goes wrong in it stays in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.power.apart import ChildFailed, apart
from tests.power.disk import Record
from tests.power.examination import Violation, examine
from tests.power.filesystems import Image, Roots, mounted_world
from tests.power.mounts import Loop
from tests.power.recording import Recording
from tests.power.states import State, flushed_by
from tests.power.world import DiskWorld
from tests.world import SettableClock

_REBOOT = 60.0  # seconds that it takes
_TOO_LONG = 60  # seconds for one state: it takes milliseconds


class Replayer:
    """The states of one recording. Ask for them in their order: going back begins anew."""

    def __init__(self, recording: Recording, flushed: list[Image], scratch: list[Image], loops: list[Loop]) -> None:
        self._recording = recording
        self._flushed, self._scratch, self._loops = flushed, scratch, loops
        self._durable_at = flushed_by(recording.records)
        self._begin()

    def _begin(self) -> None:
        self._at = -1
        self._pending: list[int] = []
        for image, extents in zip(self._flushed, self._recording.blank, strict=True):
            image.fill(extents)

    def build(self, state: State) -> None:
        """Put a state on the scratch disks."""
        if state.at < self._at:
            self._begin()
        self._advance(state.at)
        for scratch, flushed, loop in zip(self._scratch, self._flushed, self._loops, strict=True):
            scratch.copy(flushed)
            loop.forget_pages()
        for number, length in state.window:
            _write(self._scratch, self._recording.records[number], length)

    def _advance(self, to: int) -> None:
        """Write what a flush up to this record has made durable."""
        self._pending += range(self._at + 1, to + 1)
        self._at = to
        for number in self._pending:
            if self._durable_at[number] <= to:
                _write(self._flushed, self._recording.records[number], None)
        self._pending = [number for number in self._pending if to < self._durable_at[number] < math.inf]

    def ask(self, state: State, folder: Path) -> list[Violation]:
        """Everything that is wrong in a state."""
        self.build(state)
        devices = [loop.path for loop in self._loops]
        try:
            with mounted_world(self._recording.layout, devices, folder) as roots:
                return apart(lambda: self._examined(state, roots), _TOO_LONG)
        except (OSError, ChildFailed) as error:
            return [Violation("broken", str(error))]

    def _examined(self, state: State, roots: Roots) -> list[Violation]:
        clock = SettableClock(self._recording.ledger.moment(state.cut) + _REBOOT, _REBOOT)
        world = DiskWorld(roots, clock, "the-next-boot", alarms=roots.spool.parent.parent)
        return list(examine(world, self._recording.ledger, state.cut))


def _write(images: list[Image], record: Record, length: int | None) -> None:
    if record.data is not None:
        images[record.disk].write(record.offset, record.data[:length])


@contextmanager
def replayer(recording: Recording, folder: Path) -> Iterator[Replayer]:
    """A replayer with its images and devices, for the length of a block."""
    with ExitStack() as opened:
        images: dict[str, list[Image]] = {"flushed": [], "scratch": []}
        for name, made in images.items():
            for number, kind in enumerate(recording.layout.disks):
                made.append(Image(folder / f"{name}{number}", kind.size))
                opened.callback(made[-1].close)
        loops = [image.loop() for image in images["scratch"]]
        for loop in loops:
            opened.callback(loop.close)
        yield Replayer(recording, images["flushed"], images["scratch"], loops)
