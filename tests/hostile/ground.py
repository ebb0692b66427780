"""A spool in a street of strangers: every point at which another process may act is a hook, so races are enumerated.

Nothing is timed. `Points` is told of each step of one ingester (listing, judgement, rename, sync, commit, removal)
and runs what a test has put there, once. Beside the spool lies `outside/`: what strangers would like us to touch.
`Ground.check` says what must hold after every race: invariants, everybody else's files taken, outside untouched.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pqfs import kernel
from pqfs.durations import Size
from pqfs.files import Files
from pqfs.inbox import Entry, Inbox, Judgement
from pqfs.index import Index, walk
from pqfs.index.sqlite import SqliteEngine
from pqfs.ingester import Ingester
from pqfs.jobqueue import JobQueue
from pqfs.rejected import Refusal, refusals
from pqfs.settings import IngestSettings, QueueSettings, Settings
from pqfs.spool import Spool
from tests.world import SettableClock, violations

OWNER = "ingester.1.0123abcd"
WAIT_LIMIT = 600.0
LARGEST = 4 * 2**20
_BYSTANDERS = (b"bystander before", b"bystander after")
_RESIDENT = b"resident"  # a job that waits already
_LONGEST = 20.0  # seconds: a step that takes longer hangs


class Points:
    """Where others may act. `at(point, act)` runs `act` once, the first time that this point is reached."""

    def __init__(self) -> None:
        self._acts: dict[str, Callable[[], None]] = {}
        self.reached: set[str] = set()

    def at(self, point: str, act: Callable[[], None]) -> None:
        """Act right at a point, once."""
        self._acts[point] = act

    def reach(self, point: str) -> None:
        """One step is about to happen, or has just happened."""
        self.reached.add(point)
        if act := self._acts.pop(point, None):
            act()


class HookedFiles(Files):
    """The file operations, with the points before and after them; syncs are told and not made."""

    def __init__(self, points: Points) -> None:
        self._points = points

    def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        name = os.fsdecode(os.path.basename(source))
        self._points.reach(f"rename {name}")
        super().rename(source_dir, source, target_dir, target)
        self._points.reach(f"renamed {name}")

    def unlink(self, directory: int, path: bytes) -> None:
        self._points.reach(f"unlink {os.fsdecode(os.path.basename(path))}")
        super().unlink(directory, path)

    def rmdir(self, directory: int, path: bytes) -> None:
        self._points.reach(f"rmdir {os.fsdecode(os.path.basename(path))}")
        super().rmdir(directory, path)

    def fsync(self, directory: int, path: bytes) -> None:
        self._points.reach("sync")
        os.close(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory))  # as a sync does

    def syncfs(self, descriptor: int) -> None:
        self._points.reach("sync")


class HookedEngine(SqliteEngine):
    """The index, with the points around each commit."""

    def __init__(self, path: Path, points: Points) -> None:
        self._points = points
        super().__init__(path, durable=False)

    def _commit(self) -> None:
        self._points.reach("commit")
        super()._commit()
        self._points.reach("committed")


class HookedInbox(Inbox):
    """The inbox, with the points around each judgement."""

    def __init__(self, root: Path, settings: Settings, points: Points) -> None:
        super().__init__(root, settings)
        self._points = points

    def judge(self, directory: int, entry: Entry, now: float) -> Judgement:
        name = os.fsdecode(os.path.basename(entry.path))
        self._points.reach(f"judge {name}")
        found = super().judge(directory, entry, now)
        self._points.reach(f"judged {name}")
        return found


class Hung(Exception):
    """A step did not come to its end."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail, instead of waiting for ever, when what is inside takes longer."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hung(f"not done after {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Ground:
    """One spool with one ingester, two honest files in it, and what lies outside."""

    def __init__(self, root: Path, queue: QueueSettings | None = None) -> None:
        kernel.ignore_lease_breaks()  # strangers hold leases here, and a broken one sends SIGIO
        self.root = root / "spool"
        self.outside = root / "outside"
        self.inbox = self.root / "inbox"
        Spool.create(self.root)
        self._furnish()
        self.clock = SettableClock()
        self.points = Points()
        chosen = queue or QueueSettings(max_size=Size(LARGEST))
        self.settings = Settings(
            spool=self.root, logs=root / "logs", low_water=Size(0), defaults=chosen, queues={"mail": chosen},
            ingest=IngestSettings(wait_limit=WAIT_LIMIT),
        )  # fmt: skip
        self.spool = Spool(self.root, HookedFiles(self.points), alarms=self.outside)
        self.index = Index(HookedEngine(self.root / "index.db", self.points))
        self.jobqueue = JobQueue(self.spool, self.index, self.settings)
        self.ingester = Ingester(self.jobqueue, HookedInbox(self.root, self.settings, self.points), OWNER, self.clock)
        (self.inbox / os.fsdecode(_RESIDENT)).write_bytes(_RESIDENT)
        self.ingester.sweep()
        self._outside: dict[str, tuple[object, ...]] = {}
        self.releases: list[Callable[[], None]] = []

    def _furnish(self) -> None:
        (self.outside / "folder").mkdir(parents=True)
        (self.outside / "empty").mkdir()
        (self.outside / "secret").write_bytes(b"theirs")
        (self.outside / "folder" / "x").write_bytes(b"theirs, too")
        (self.outside / "secret").chmod(0o600)

    def close(self) -> None:
        """Give everything back."""
        self.release()
        self.index.close()
        self.spool.close()

    def release(self) -> None:
        """Strangers let go of what they hold."""
        while self.releases:
            self.releases.pop()()

    # ---------------------------------------------------------------- what strangers and honest people do

    def welcome_bystanders(self) -> None:
        """Two honest files, one older and one younger than everything else here."""
        for name, mtime in zip(_BYSTANDERS, (1.0, 2e9), strict=True):
            path = os.path.join(os.fsencode(self.inbox), name)
            with open(path, "wb") as file:
                file.write(name)
            os.utime(path, (mtime, mtime))

    def remember_outside(self) -> None:
        """What lies outside from now on must stay as it is."""
        self._outside = dict(_look(self.outside))

    def sweep(self, times: int = 3) -> None:
        """Look at the inbox a few times, as events and the clock make the ingester do. An error ends one sweep."""
        with within(_LONGEST):
            for _ in range(times):
                self.ingester.sweep()

    def pass_by(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.pass_by(seconds)

    # ---------------------------------------------------------------- what became of it

    def jobs(self) -> list[bytes]:
        """The names of all jobs but the bystanders'."""
        return [job.name for job in walk(self.index) if job.name not in (*_BYSTANDERS, _RESIDENT)]

    def resident(self) -> Path:
        """The payload of a job that waits."""
        (job,) = (job for job in walk(self.index) if job.name == _RESIDENT)
        return self.spool.path(self.spool.payload_path(job))

    def content(self, name: bytes) -> list[bytes]:
        """The payloads of the jobs of this name."""
        found = [job for job in walk(self.index) if job.name == name]
        return [self.spool.path(self.spool.payload_path(job)).read_bytes() for job in found]

    def refused(self) -> dict[bytes, Refusal]:
        """What was refused, by the name that it had."""
        return {each.original: each for each in refusals(self.spool)}

    def left(self) -> set[bytes]:
        """The names that lie in the inbox."""
        return {os.fsencode(name) for name in os.listdir(self.inbox)}

    def wrong(self, at_rest: bool) -> Iterator[str]:
        """Everything that is not as it must be, whatever strangers do."""
        yield from violations(self.spool, self.index, at_rest=at_rest)
        known = {job.name for job in walk(self.index)}
        yield from (f"{name!r} is held up" for name in _BYSTANDERS if name not in known)
        after = dict(_look(self.outside))
        for path, before in self._outside.items():
            if after.get(path) != before:
                yield f"outside, {path} was {before} and is {after.get(path)}"
        yield from (f"outside there is {path} now" for path in after.keys() - self._outside.keys())


def _look(directory: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Everything below a directory: kind and mode, links, owner, size, time of change of the data, and the data."""
    for above, folders, files in os.walk(directory):
        for name in [*folders, *files]:
            path = os.path.join(above, name)
            found = os.lstat(path)
            data = Path(path).read_bytes() if stat.S_ISREG(found.st_mode) else b""
            facts = (found.st_mode, found.st_uid, found.st_size, found.st_mtime_ns)
            # A folder's links and time change with what strangers put beside it; a file's never.
            links = found.st_nlink if stat.S_ISREG(found.st_mode) else 0
            yield os.path.relpath(path, directory), (*facts, links, data)
