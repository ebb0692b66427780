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
    """Somebody who can be measured. `needs` is a module that he can not do without; `on_server`: it is PostgreSQL."""

    name: str
    what: str
    needs: str | None = None
    on_server: bool = False

    def command(self, base: Path, consumers: int) -> list[str]:
        """How to start it on a ground."""
        return [sys.executable, "-m", f"{__name__}.{self.name}"]

    def variables(self, consumers: int, address: str | None) -> dict[str, str]:
        """What else it finds in its environment; `address` is of an empty database, for who needs one."""
        return {"BENCH_CONSUMERS": str(consumers)} | ({"BENCH_INDEX": address} if address else {})

    @property
    def absence(self) -> str | None:
        """Why it can not take part, in words; None when it can."""
        if self.needs and not find_spec(self.needs):
            return f"{self.name} does not take part: {self.needs} is not installed (pip install -e '.[bench]')."
        if self.on_server and not _has_server():
            return f"{self.name} does not take part: there is no PostgreSQL here (pip install -e '.[dev]')."
        return None


@dataclass(frozen=True, slots=True)
class Pqfs(Contender):
    """The whole stack without the console, as anybody starts it."""

    def command(self, base: Path, consumers: int) -> list[str]:
        """`pqfs up` in the foreground, on the spool that the ground is."""
        pqfs = [sys.executable, "-m", "pqfs", "--spool", str(base), "--logs", str(base.parent / "logs")]
        return [*pqfs, "up", "--no-ui", "--consumers", str(consumers)]

    def variables(self, consumers: int, address: str | None) -> dict[str, str]:
        """The index, where it is not the spool's own."""
        return {"PQFS_INDEX": address} if address else {}


def _has_server() -> bool:
    from tests.server import binaries

    return binaries() is not None


PQFS = Pqfs("pqfs", "the stack with its defaults")
SCRIPT = Contender("script", "watchdog and threads, remembers nothing")
BARE_LOOP = Contender("bare_loop", "one process, one sync a batch, remembers nothing")
HUEY = Contender("huey", "watchdog and huey on SQLite", "huey")
PQFS_POSTGRES = Pqfs("pqfs_postgres", "the stack with its index on PostgreSQL", "psycopg", on_server=True)
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
        PQFS_POSTGRES,
        Contender("procrastinate", "watchdog and procrastinate on PostgreSQL", "procrastinate", on_server=True),
        Contender("pgqueuer", "watchdog and PgQueuer on PostgreSQL", "pgqueuer", on_server=True),
    )
}
