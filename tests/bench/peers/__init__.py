"""The contenders: programs that take files from inbox/ and leave one output each in outbox/, as durably as pqfs does.

Every peer does the same job (`job.py`): a UTC time stamp before the bytes, written to work/, synced, renamed into
outbox/, the input removed. They differ in how they find the files and in what remembers them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who can be measured. `needs` is a module that he can not do without."""

    name: str
    what: str
    needs: str | None = None

    def command(self, base: Path, consumers: int) -> list[str]:
        """How to start it on a ground."""
        return [sys.executable, "-m", f"{__name__}.{self.name}"]

    @property
    def absence(self) -> str | None:
        """Why it can not take part, in words; None when it can."""
        if self.needs is None or find_spec(self.needs):
            return None
        return f"{self.name} does not take part: {self.needs} is not installed (pip install -e '.[bench]')."


@dataclass(frozen=True, slots=True)
class Pqfs(Contender):
    """The whole stack without the console, as anybody starts it."""

    def command(self, base: Path, consumers: int) -> list[str]:
        """`pqfs up` in the foreground, on the spool that the ground is."""
        pqfs = [sys.executable, "-m", "pqfs", "--spool", str(base), "--logs", str(base.parent / "logs")]
        return [*pqfs, "up", "--no-ui", "--consumers", str(consumers)]


PQFS = Pqfs("pqfs", "the stack with its defaults")
SCRIPT = Contender("script", "watchdog and threads, remembers nothing")
BARE_LOOP = Contender("bare_loop", "one process, one sync a batch, remembers nothing")
HUEY = Contender("huey", "watchdog and huey on SQLite", "huey")
CONTENDERS = {
    each.name: each
    for each in (
        PQFS,
        BARE_LOOP,
        SCRIPT,
        HUEY,
        Contender("persist_queue", "watchdog and persist-queue on SQLite, one consumer", "persistqueue"),
        Contender("litequeue", "watchdog and litequeue on SQLite", "litequeue"),
        Contender("dirq", "watchdog and dirq, a queue of directories", "dirq"),
    )
}
