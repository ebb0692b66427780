"""Which edition of pqfs.toml a process has read: told in its pulse, so that others can see that it is an older one.

An edition is a mark of what the file says, not of its bytes: comments, blanks and the order of keys are no change.
"""

from __future__ import annotations

import json
import os
import tomllib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Edition:
    """A file that holds settings, and the mark of what it said when it was read. The file need not exist."""

    path: str
    mark: str

    @property
    def is_outdated(self) -> bool:
        """Whether the file says something else by now."""
        return self.mark != mark_of_file(Path(self.path))


def mark_of(table: Mapping[str, Any]) -> str:
    """The mark of a file's contents."""
    return f"{zlib.crc32(json.dumps(table, sort_keys=True, default=str).encode()):08x}"


def mark_of_file(path: Path) -> str:
    """The mark of a file as it is now; one that is not there says as much as an empty one."""
    try:
        return mark_of(tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return mark_of({})
    except (OSError, ValueError):
        return UNREADABLE


class Unread:
    """The queues of which the file tells by now, and of which it did not when this process read it.

    It does not know their handler: to run the default one on their files would be wrong, and nobody would notice.
    """

    def __init__(self, edition: Edition, known: Iterable[str]) -> None:
        self._path = edition.path
        self._known = frozenset(known)
        self._seen: tuple[int, int, int] | None = None
        self._names = frozenset[str]()

    def names(self) -> frozenset[str]:
        """Their names now. The file is read only when it has changed since the last question."""
        seen = _identity(self._path)
        if seen != self._seen:
            self._seen, self._names = seen, _queues(Path(self._path)) - self._known
        return self._names


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _queues(path: Path) -> frozenset[str]:
    """The queues that have a section; none in a file that can not be read: no process can start with it."""
    try:
        found = tomllib.loads(path.read_text("utf-8")).get("queues")
    except (OSError, ValueError):
        return frozenset()
    return frozenset(found) if isinstance(found, dict) else frozenset()
