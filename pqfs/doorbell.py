"""Wakes processes that wait for work: one FIFO per listener, run/<owner>.bell.

Ringing writes one byte to every bell and never blocks: a full bell has been rung already, a bell without a
reader belongs to a dead owner. A bell only says *look now*; a poll stands behind it, so that a lost ring
costs seconds, never a job. run/ is local to its host.
"""

from __future__ import annotations

import os
from pathlib import Path


class Bell:
    """A listener's end. `fileno()` is readable when somebody rang."""

    def __init__(self, run: Path, owner: str) -> None:
        self._path = run / f"{owner}.bell"
        try:
            os.mkfifo(self._path, 0o620)
        except FileExistsError:
            pass  # our name is ours alone: a server that answers so has made it
        # Read and write: with a writer of our own the FIFO never reports end of file.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._descriptor

    def hear(self) -> bool:
        """Empty the bell; whether it had been rung."""
        try:
            return bool(os.read(self._descriptor, 65536))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Stop listening."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def ring(run: Path, program: str = "") -> None:
    """Wake the listeners whose program's name begins so. It never fails: what was committed stands, whoever hears."""
    try:
        names = [name for name in os.listdir(run) if name.endswith(".bell") and name.startswith(program)]
    except OSError:
        return
    for name in names:
        _ring_one(run / name)


def _ring_one(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return  # no reader: its owner is dead or closing
    try:
        os.write(descriptor, b"!")
    except OSError:
        pass  # full: it has been rung
    finally:
        os.close(descriptor)
