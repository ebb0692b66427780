"""The files that contenders get: how many, how large, and how they come into an inbox."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.arena import Room

_UNITS = {"": 1, "k": 2**10, "kib": 2**10, "m": 2**20, "mib": 2**20, "g": 2**30, "gib": 2**30}
_BLOCK = os.urandom(1 << 20)
# Of a hundred mixed files so many have so many bytes; spread, so that every batch gets of each.
_MIX = ((10, 0), (60, 2**10), (20, 2**14), (9, 2**16), (1, 10 * 2**20))
_STRIDE = 37  # prime to a hundred


def parse_size(text: str) -> int:
    """`0`, `1024`, `64KiB`, `10M` in bytes."""
    found = re.fullmatch(r"(\d+)\s*([a-z]*)", text.strip().lower())
    if not found or found[2] not in _UNITS:
        raise ValueError(f"{text!r} is no size: 0, 1024, 64KiB, 10MiB")
    return int(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True, slots=True)
class Load:
    """So many files, of one size (`1024`, `64KiB`) or `mixed`."""

    jobs: int
    size: str = "1KiB"

    def __post_init__(self) -> None:
        self.bytes_of(0)

    def bytes_of(self, number: int) -> int:
        """How large a file is."""
        if self.size != "mixed":
            return parse_size(self.size)
        place = number * _STRIDE % 100
        for share, size in _MIX:
            if place < share:
                return size
            place -= share
        raise AssertionError("the shares of the mix make a hundred")

    @property
    def room(self) -> Room:
        """What the files and their outputs need."""
        return Room(self.jobs * 2, sum(map(self.bytes_of, range(self.jobs))) * 2)

    def fill(self, directory: Path, name: Callable[[int], str]) -> None:
        """Write all files into a directory."""
        for number in range(self.jobs):
            write(directory / name(number), self.bytes_of(number))


def write(path: Path, size: int) -> None:
    """A file of so many random bytes, the same in each file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        while size > 0:
            size -= os.write(descriptor, _BLOCK[:size])
    finally:
        os.close(descriptor)
