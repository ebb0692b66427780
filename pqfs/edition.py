"""Which edition of pqfs.toml a process has read: told in its pulse, so that others can see that it is an older one.

An edition is a mark of what the file says, not of its bytes: comments, blanks and the order of keys are no change.
"""

from __future__ import annotations

import json
import tomllib
import zlib
from collections.abc import Mapping
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
