"""A payload while its handler runs: held by a descriptor, so that nothing that a handler does to its name loses it.

An input is read only. But programs remove, rename and edit what they are given, and what came must still be there
afterwards: for the next attempt, for done/ and for dead/.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Input:
    """One payload: `with Input(path) as payload:` around its handler."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, _FLAGS)
        self._before = os.fstat(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)

    def is_at(self, path: Path) -> bool:
        """Whether this path is the payload's."""
        try:
            return os.path.samestat(path.lstat(), self._before)
        except OSError:
            return False

    def has_changed(self) -> bool:
        """Whether somebody has written into it since the handler began."""
        now = os.fstat(self.descriptor)
        return (now.st_size, now.st_mtime_ns) != (self._before.st_size, self._before.st_mtime_ns)
