"""The file systems on trial: how each is made and mounted, and images of them that are put back in a millisecond."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.power.disk import data_extents
from tests.power.mounts import Loop, mounted

_MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class FileSystem:
    """One kind, as small as it can be made."""

    name: str
    size: int
    command: tuple[str, ...]
    options: str = ""


FILE_SYSTEMS = {
    each.name: each
    for each in (
        FileSystem("ext4", 32 * _MEGABYTE, ("mkfs.ext4", "-q", "-F")),
        FileSystem("xfs", 300 * _MEGABYTE, ("mkfs.xfs", "-q"), "nouuid"),
        FileSystem("btrfs", 110 * _MEGABYTE, ("mkfs.btrfs", "-q")),
    )
}
_BESIDE = {"ext4": "btrfs", "btrfs": "xfs", "xfs": "ext4"}  # each is once the spool's and once the index's


@dataclass(frozen=True, slots=True)
class Layout:
    """Which file systems a world lies on: the spool's, and the index's where that is another."""

    spool: FileSystem
    index: FileSystem | None = None

    @classmethod
    def of(cls, name: str, index: str = "same") -> Layout:
        """The layout with the spool on this file system; `index` is *same* or *other*."""
        return cls(FILE_SYSTEMS[name], FILE_SYSTEMS[_BESIDE[name]] if index == "other" else None)

    @property
    def disks(self) -> list[FileSystem]:
        """One file system for each disk; the spool's first."""
        return [self.spool, *([self.index] if self.index else [])]

    def __str__(self) -> str:
        return f"{self.spool.name}+{self.index.name}" if self.index else self.spool.name


@dataclass(frozen=True, slots=True)
class Roots:
    """Where a mounted world is: its spool's folder and its index."""

    spool: Path
    index: Path


@contextmanager
def mounted_world(layout: Layout, devices: Iterable[Path], folder: Path) -> Iterator[Roots]:
    """All disks of a layout mounted below a folder."""
    with ExitStack() as mounts:
        places = []
        for number, (kind, device) in enumerate(zip(layout.disks, devices, strict=True)):
            place = folder / f"mount{number}"
            place.mkdir(exist_ok=True)
            places.append(mounts.enter_context(mounted(device, place, kind.name, kind.options)))
        spool = places[0] / "spool"
        yield Roots(spool, (places[1] if layout.index else spool) / "index.db")


class Image:
    """A sparse file with a file system in it."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.clear()

    def clear(self) -> None:
        """Make it one hole."""
        os.ftruncate(self._descriptor, 0)
        os.ftruncate(self._descriptor, self.size)

    def format(self, kind: FileSystem) -> None:
        """Make a file system in it, and holes where it wrote zeros."""
        subprocess.run([*kind.command, self.path], check=True, capture_output=True)
        subprocess.run(["fallocate", "--dig-holes", self.path], check=True)

    def extents(self) -> list[tuple[int, bytes]]:
        """What it holds: offsets and bytes."""
        found = data_extents(self._descriptor, self.size)
        return [(begin, os.pread(self._descriptor, end - begin, begin)) for begin, end in found]

    def fill(self, extents: Iterable[tuple[int, bytes]]) -> None:
        """Make it hold this and nothing else."""
        self.clear()
        for offset, data in extents:
            self.write(offset, data)

    def copy(self, other: Image) -> None:
        """Make it what another is."""
        self.fill(other.extents())

    def write(self, offset: int, data: bytes) -> None:
        """Write a block."""
        os.pwrite(self._descriptor, data, offset)

    def loop(self) -> Loop:
        """A block device over it."""
        return Loop(self.path)

    def close(self) -> None:
        """Give it up."""
        os.close(self._descriptor)
        self.path.unlink()
