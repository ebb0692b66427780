"""What producers, operators and readers share: each is a process, started by the storm, that ends with it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pqfs import kernel
from pqfs.torture.ground import Ground


class Actor:
    """Knows whether this process has been asked to end."""

    def __init__(self, storm: int) -> None:
        self._over = threading.Event()
        self._storm = storm

    def listen(self) -> None:
        """Take TERM as the request, and ask the kernel for one when the storm dies."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the storm, which ends us in order
        kernel.die_with_parent(signal.SIGTERM)
        if self.is_orphan:  # Race: the storm died before the kernel was asked
            self._over.set()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._over.set()

    @property
    def is_over(self) -> bool:
        """Whether to end as soon as what is under way is finished."""
        return self._over.is_set()

    @property
    def is_orphan(self) -> bool:
        """Whether the storm that started this process has died."""
        return os.getppid() != self._storm

    def rest(self, seconds: float) -> None:
        """Sleep, but not through the end."""
        self._over.wait(seconds)


@contextmanager
def act_alone() -> Iterator[tuple[Ground, int, Actor]]:
    """The ground and the seed that stand in this process's arguments, and its actor."""
    root, seed, storm, *more = sys.argv[1:]
    actor = Actor(int(storm))
    actor.listen()
    yield Ground(Path(root), "small" in more), int(seed), actor
