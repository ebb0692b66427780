"""A disk that remembers: a FUSE file under a loop device, its log of writes and flushes, and what it can fail.

The kernel sees an ordinary block device with a write cache: it flushes when durability matters, and only then. The
log tells in which order writes and flushes reached the disk; a position in it is a point in time.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fuse import compiled, has_headers
from tests.power.mounts import Loop, unmount, unmount_anyhow

_SOURCE = Path(__file__).with_name("disk.c")
_RECORD = struct.Struct("=IIQQ")
_FAULTS = struct.Struct("=iiiii")
_WRITE = 1
_PATIENCE = 10.0


def missing() -> str | None:
    """Why no disk can be made here; None when one can."""
    if os.geteuid() != 0:
        return "power-loss states need root: they mount file systems"
    if not all(Path(device).exists() for device in ("/dev/fuse", "/dev/loop-control")):
        return "power-loss states need /dev/fuse and loop devices"
    programs = ("gcc", "pkg-config", "fusermount3", "mkfs.ext4", "mkfs.xfs", "mkfs.btrfs")
    if absent := [name for name in programs if shutil.which(name) is None]:
        return f"power-loss states need {', '.join(absent)}"
    if not has_headers():
        return "power-loss states need the headers of libfuse 3"
    return None


def compile_disk(folder: Path) -> Path:
    """The program, made in a folder of the caller's."""
    return compiled(_SOURCE, folder)


@dataclass(frozen=True, slots=True)
class Record:
    """One write or flush (`data` is None) of one disk; `end` is the log's position when it was done."""

    disk: int
    offset: int
    data: bytes | None
    end: int


def read_log(path: Path) -> list[Record]:
    """Every record of a log, in order."""
    log = path.read_bytes()
    found, at = [], 0
    while at < len(log):
        kind, disk, offset, length = _RECORD.unpack_from(log, at)
        start = at + _RECORD.size
        at = start + length
        found.append(Record(disk, offset, log[start:at] if kind == _WRITE else None, at))
    return found


class Faults:
    """What one disk fails next, shared with its process."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_FAULTS.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _FAULTS.size)

    def fail(self, error: int, writes: int = 0, flushes: int = 0, passes: int = 0) -> None:
        """Let so many writes or flushes pass, then so many fail with an errno; -1: all, until told otherwise."""
        _FAULTS.pack_into(self._shared, 0, error, passes, writes, flushes, 0)

    def mend(self) -> int:
        """Fail nothing any more; how many writes and flushes have failed."""
        failed = int(_FAULTS.unpack_from(self._shared)[4])
        self.fail(0)
        return failed


class Disk:
    """A block device over an image, at `device`; its log may be shared with other disks."""

    def __init__(self, program: Path, image: Path, log: Path, number: int, folder: Path) -> None:
        self._mountpoint = folder / f"disk{number}"
        self._mountpoint.mkdir()
        shared = folder / f"faults{number}"
        self.faults = Faults(shared)
        words: list[str | Path] = [program, image, log, str(number), shared, self._mountpoint]
        self._process = subprocess.Popen(words, start_new_session=True)
        try:
            self._wait_until_mounted()
            self._loop = Loop(self._mountpoint / "disk")
        except BaseException:
            self._end()
            raise
        self.device = self._loop.path

    def _wait_until_mounted(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not (self._mountpoint / "disk").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"the disk's process did not start (exit code {self._process.poll()})")
            time.sleep(0.002)

    def close(self) -> None:
        """Take the device away; what is mounted from it must be unmounted first."""
        self._loop.close()
        try:
            unmount(self._mountpoint)
        finally:
            self._end()

    def _end(self) -> None:
        unmount_anyhow(self._mountpoint)
        self._process.kill()
        self._process.wait()
        self._mountpoint.rmdir()


def data_extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a sparse file has data: begin and end."""
    at = 0
    while at < size:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:
            return  # only a hole is left
        at = os.lseek(descriptor, begin, os.SEEK_HOLE)
        yield begin, at
