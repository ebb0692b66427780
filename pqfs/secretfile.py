"""A small file of secrets beside the index, for its owner's eyes only: read whole, replaced whole.

Not in the index, so that a rebuild keeps it and no copy of the index carries it away. One writer at a time: a kernel
lock holds up a second one, so that of two people at once neither loses what the other did.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pqfs.errors import Corrupt, Unavailable
from pqfs.owners import ProgramLock

_MODE = 0o600
_PATIENCE = 20.0  # seconds for other writers


class SecretFile:
    """One file of a spool: `name`.json. What it holds is an object of JSON."""

    def __init__(self, spool: Path, name: str) -> None:
        self._spool = spool
        self._name = name
        self.path = spool / f"{name}.json"

    def read(self) -> dict[str, Any]:
        """What it holds; empty when it is not there.

        Raises:
            Corrupt: it makes no sense. Nobody is let in by a file that somebody has spoilt.
        """
        try:
            found = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Corrupt(f"{self.path} can not be read: it is no JSON object.", "Put a copy back, or remove it.")
        return found

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """What it holds, to be changed: written, whole and durable, when the block ends well.

        Raises:
            Unavailable: somebody else is writing it.
            Corrupt: as `read`.
        """
        lock = ProgramLock(self._spool / "run", self._name)
        try:
            if not lock.acquire(_PATIENCE):
                raise Unavailable(f"Somebody else is changing {self.path}.", "Try again in a moment.")
            held = self.read()
            before = json.dumps(held, indent=1)
            yield held
            if (after := json.dumps(held, indent=1)) != before:
                self._replace(after.encode())
        finally:
            lock.release()

    def _replace(self, data: bytes) -> None:
        scratch = self._spool / f".{self._name}.json.tmp"  # ours alone: we hold the lock
        scratch.unlink(missing_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        # Crash here: the file as it was, and a scratch that nobody reads; the next writer removes it.
        os.replace(scratch, self.path)
        directory = os.open(self._spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
