"""The world of the crash tests, on a real disk: real syncs, commits that last, perhaps another boot."""

from __future__ import annotations

from pathlib import Path

from pqfs.files import Files
from pqfs.index import Index
from pqfs.index.sqlite import SqliteEngine
from pqfs.jobqueue import JobQueue
from pqfs.model import State
from pqfs.owners import OwnerLock
from pqfs.recovery import Recovery
from pqfs.settings import KeepSettings, QueueSettings, Settings
from pqfs.spool import Spool
from tests.crash.harness import Mortals, World
from tests.power.filesystems import Roots
from tests.world import SettableClock

_KEEP = KeepSettings(rows="forever")  # an output in the outbox keeps its row
SETTINGS = Settings(defaults=QueueSettings(backoff=1.0, max_failures=2), keep=_KEEP)


class DiskWorld(World):
    """One spool with its index, perhaps on two disks, and everybody who works on it."""

    def __init__(
        self, roots: Roots, clock: SettableClock, boot: str, files: Files | None = None, durable: bool = True,
        alarms: Path | None = None,
    ) -> None:  # fmt: skip
        Spool.create(roots.spool)
        self.index_path, self.boot = roots.index, boot
        self.files, self.durable, self.alarms = files or Files(), durable, alarms
        super().__init__(roots.spool, SETTINGS, clock)

    def _open(self) -> None:
        self.spool = Spool(self.root, self.files, self.durable, self.alarms)
        self.index = Index(self.open_engine())
        self.jobqueue = JobQueue(self.spool, self.index, self.settings, chance=lambda: 0.5)
        self.owners = Mortals(self.root / "run")

    def open_engine(self) -> SqliteEngine:
        """A connection to the index."""
        return SqliteEngine(self.index_path, self.durable)

    def owner(self, program: str) -> str:
        lock = OwnerLock(self.root / "run", program, self.boot, self.clock.now())
        self._locks.append(lock)
        return lock.name

    def recovery(self) -> Recovery:
        return Recovery(self.jobqueue, self.owners, self.clock, self.boot)

    def waiting(self) -> list[str]:
        """The jobs that nobody has brought to their end."""
        open_states = (State.PENDING, State.PROCESSING)
        return [f"{job.id} {job.state}" for job in self.jobs().values() if job.state in open_states]
