"""Looks into the directories and files of a spool for people: bounded, and never out of the spool.

Paths are in the printable form of `naming`, part by part, as pages and links have them. Every part is opened below
the one before, and no link is followed: what a stranger put there leads nowhere else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from heapq import nsmallest
from itertools import islice
from pathlib import Path

from pqfs import naming
from pqfs.errors import Refused
from pqfs.files import open_directory
from pqfs.places import DIRECTORIES

MOST_NAMES = 200_000  # of a directory that are looked at: about 100 ms
PREVIEW = 64 * 1024  # bytes of a file that are shown
_SIGNS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")


class Sort(StrEnum):
    """What something is to a reader."""

    FOLDER = "folder"
    TEXT = "text"
    IMAGE = "image"
    BINARY = "binary"
    FILE = "file"
    OTHER = "other"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory, printable. `sort`: folder, file, or other (a link, a socket …)."""

    name: str
    sort: Sort
    size: int
    changed_at: float


@dataclass(frozen=True, slots=True)
class Folder:
    """A part of a directory, by name. `next`: the name after which the next part begins; None when there is none.

    `count`: how many names there are, or as many as were looked at when `is_capped`.
    """

    path: str
    entries: tuple[Entry, ...]
    next: str | None
    count: int
    is_capped: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of a file. `size` is of the whole file, `data` at most PREVIEW bytes of it."""

    path: str
    sort: Sort
    size: int
    changed_at: float
    data: bytes = b""

    @property
    def is_cut(self) -> bool:
        """Whether the file has more than is here."""
        return self.size > len(self.data)

    def text(self) -> str:
        """As text, in which nothing but line ends and tabs acts."""
        words = self.data.decode("utf-8", "ignore" if self.is_cut else "replace")
        return naming.harmless(words.replace("\r\n", "\n"))

    def dump(self, most: int = 4096) -> str:
        """As hexadecimal lines of 16 bytes."""
        shown = self.data[:most]
        return "\n".join(_dumped(at, shown[at : at + 16]) for at in range(0, len(shown), 16))


def folder(root: Path, path: str, after: str = "", limit: int = 100) -> Folder:
    """The names in a directory that come after one, in order.

    Raises:
        Refused: it is no directory of the spool.
    """
    try:
        with _opened(root, _parts(path)) as descriptor:
            with os.scandir(descriptor) as listing:
                names = [entry.name for entry in islice(listing, MOST_NAMES)]
            start = os.fsdecode(naming.original(after)) if after else ""
            shown = nsmallest(limit + 1, (name for name in names if name > start))
            entries = tuple(filter(None, (_entry(descriptor, name) for name in shown[:limit])))
    except OSError as error:
        raise Refused(f"{path} can not be listed: {error.strerror}.") from error
    following = _printable(shown[limit - 1]) if len(shown) > limit else None
    return Folder(path, entries, following, len(names), len(names) >= MOST_NAMES)


def preview(root: Path, path: str, most: int = PREVIEW) -> Preview:
    """The beginning of a file of the spool, or that it is gone, or is none.

    Raises:
        Refused: it can not be in the spool, or may not be read.
    """
    *above, name = _parts(path)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with _opened(root, above) as directory:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode):
                return Preview(path, _sort(found.st_mode), found.st_size, found.st_mtime)
            descriptor = os.open(name, flags, dir_fd=directory)
            with open(descriptor, "rb", buffering=0) as file:
                data = file.read(most)
    except (FileNotFoundError, NotADirectoryError):
        return Preview(path, Sort.GONE, 0, 0.0)
    except OSError as error:
        raise Refused(f"{path} can not be read: {error.strerror}.") from error
    return Preview(path, _sort_of(data, found.st_size), found.st_size, found.st_mtime, data)


def printable_below(root: Path, path: Path) -> str:
    """The printable form of a path below a spool, as `folder` and `preview` take it."""
    return naming.printable_path(path.relative_to(root).as_posix())


# -------------------------------------------------------------------- paths


def _parts(path: str) -> list[bytes]:
    parts = [naming.original(part) for part in path.split("/")]
    bad = any(part in (b"", b".", b"..") or b"/" in part or b"\0" in part for part in parts)
    if bad or os.fsdecode(parts[0]) not in DIRECTORIES:
        raise Refused(f"{naming.printable_path(path)} is no path in the spool.")
    return parts


@contextmanager
def _opened(root: Path, parts: list[bytes]) -> Iterator[int]:
    """A directory, opened part by part."""
    descriptor = open_directory(os.fsencode(root))
    try:
        for part in parts:
            above, descriptor = descriptor, open_directory(part, descriptor)
            os.close(above)
        yield descriptor
    finally:
        os.close(descriptor)


# -------------------------------------------------------------------- entries and bytes


def _printable(name: str) -> str:
    return naming.printable(os.fsencode(name))


def _entry(directory: int, name: str) -> Entry | None:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None  # moved on meanwhile
    return Entry(_printable(name), _sort(found.st_mode), found.st_size, found.st_mtime)


def _sort(mode: int) -> Sort:
    return Sort.FOLDER if stat.S_ISDIR(mode) else Sort.FILE if stat.S_ISREG(mode) else Sort.OTHER


def _sort_of(data: bytes, size: int) -> Sort:
    if size == len(data) and (data.startswith(_SIGNS) or (data[:4], data[8:12]) == (b"RIFF", b"WEBP")):
        return Sort.IMAGE
    return Sort.TEXT if _is_text(data, size) else Sort.BINARY


def _is_text(data: bytes, size: int) -> bool:
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return size > len(data) and error.start > len(data) - 4  # a character that was cut in two
    return True


def _dumped(at: int, data: bytes) -> str:
    letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
    return f"{at:08x}  {data.hex(' '):<47}  {letters}"
