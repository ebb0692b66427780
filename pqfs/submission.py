"""Submit: copying files that a caller names into the spool and making them jobs.

A submitter stages copies in work/<me>/ under an owner lock of its own, so that nobody else touches them, and
hands them to `JobQueue.submit`; if it dies in between, recovery removes the scratch or adopts what had already
moved to ready/. Whoever may not write the spool drops the file into the inbox instead: a hidden name, fsync,
rename, exactly as a careful producer does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pqfs import kernel, naming
from pqfs.clock import Clock, boot_id, iso
from pqfs.delivery import deliver, inbox
from pqfs.duplicates import ONCE, Twin
from pqfs.errors import DiskFull, IndexGone, PqfsError, QueueFull, Refused, Unavailable, explained
from pqfs.index import Act
from pqfs.jobqueue import JobQueue
from pqfs.model import DEFAULT_QUEUE, Arrival, check_key, check_priority, check_ready_at
from pqfs.modes import other_owner
from pqfs.naming import JobIds
from pqfs.owners import OwnerLock
from pqfs.quota import Quotas
from pqfs.settings import Settings

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller wants of the jobs. `priority` None: the queue's; `ready_at` 0: at once.

    `options` are those of a sidecar, and the `origin` of a job that is made of another. `once`: where a job with the
    same key waits, runs or is completed, that one answers, whatever its queue does about duplicates.
    """

    queue: str = DEFAULT_QUEUE
    priority: int | None = None
    ready_at: float = 0.0
    key: str | None = None
    options: dict[str, Any] | None = None
    once: bool = False

    def asked(self) -> dict[str, Any] | None:
        """All that is to stand in the job's options."""
        keyed = {} if self.key is None else {"key": self.key, **({ONCE: True} if self.once else {})}
        return {**(self.options or {}), **keyed} or None

    def check(self, now: float) -> None:
        """Refuse what no job can be asked for.

        Raises:
            ValueError: a priority or an instant out of bounds, in words.
        """
        if self.priority is not None:
            check_priority(self.priority)
        check_ready_at(self.ready_at, now)
        check_key(self.key)


_KEPT = "What was submitted is kept, and becomes a job once the index can be written: do not submit it again."
_PERHAPS = "It may be kept all the same. Look at the jobs before you submit it again; with a key that is safe."


class Submitter:
    """Stages and submits: `with Submitter(jobqueue, "submit", clock) as me:`. Nothing is a job before `commit`."""

    def __init__(
        self, jobqueue: JobQueue, program: str, clock: Clock, progress: Callable[[int], None] = lambda count: None
    ) -> None:
        self._jobqueue = jobqueue
        self._clock = clock
        self._program = program
        self._progress = progress
        self._ids = JobIds()
        self._staged: list[tuple[Arrival, str]] = []
        self.twins: list[Twin] = []  # the duplicates of the last commit
        self.is_broken = False  # a commit has failed, and may have happened
        self.kept: list[str] = []  # of the last commit, which failed: durable all the same, for recovery to adopt
        self._quotas = self._ask_quotas()

    def __enter__(self) -> Self:
        spool, host = self._jobqueue.spool, self._jobqueue.settings.host
        self._lock = OwnerLock(spool.path("run"), self._program, boot_id(), self._clock.now(), host)
        spool.make_directory(f"work/{self._lock.name}")
        spool.make_directory(f"ready/{self._lock.name}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        spool = self._jobqueue.spool
        spool.remove_tree(f"work/{self._lock.name}")
        spool.remove_directory(f"ready/{self._lock.name}")  # stays while jobs wait in it
        if self.is_broken:
            self._lock.abandon()  # recovery adopts what has moved and is no job
        else:
            self._lock.release()

    def stage(self, source: IO[bytes], name: bytes, wish: Wish) -> Arrival:
        """Copy an open file into the submitter's scratch; the job that it will be.

        Raises:
            Refused: it is larger than its queue takes, or the queue has as much as its quotas allow.
            DiskFull: the volume would fall below low water.
        """
        job = self._ids.next(self._clock.now())
        path = self._jobqueue.spool.scratch_path(self._lock.name, job, 1, "part")
        self._check_quota(wish.queue, 0)
        size = self._copy(source, self._jobqueue.spool.path(path))
        return self._accept(job, path, size, name, wish)

    def look(self) -> None:
        """Heed the quotas as they are now, and not as they were at the last commit."""
        self._quotas = self._ask_quotas()

    def begin(self) -> tuple[str, Path]:
        """For a file that somebody else writes: the id of the job that it will be, and where to write it."""
        job = self._ids.next(self._clock.now())
        return job, self._path_of(job)

    def adopt(self, job: str, name: bytes, wish: Wish) -> Arrival:
        """Stage the file that was written where `begin` said. Errors as `stage`; then the file is gone.

        Raises:
            Unavailable: another's failed commit has taken it along.
        """
        self._check_room()
        path = self._jobqueue.spool.scratch_path(self._lock.name, job, 1, "part")
        try:
            size = self._path_of(job).stat().st_size
        except FileNotFoundError as error:
            raise Unavailable("What was sent is no longer there.", "Send it again.") from error
        return self._accept(job, path, size, name, wish)

    def forget(self) -> None:
        """Stage nothing of what was staged since the last commit; whoever wrote the files removes them."""
        self._staged.clear()

    def _path_of(self, job: str) -> Path:
        return self._jobqueue.spool.path(self._jobqueue.spool.scratch_path(self._lock.name, job, 1, "part"))

    def _accept(self, job: str, path: str, size: int, name: bytes, wish: Wish) -> Arrival:
        settings = self._jobqueue.terms.queue(wish.queue)
        priority = settings.priority if wish.priority is None else wish.priority
        try:
            if settings.largest is not None and size > settings.largest:
                raise Refused(f"It has {size} bytes; queue {wish.queue} takes at most {settings.largest}.")
            self._check_quota(wish.queue, size)
        except Refused:
            self._jobqueue.spool.remove(path)
            raise
        self._quotas.count(wish.queue, size)
        arrival = Arrival(job, wish.queue, name, size, priority, wish.ready_at, options=wish.asked())
        self._staged.append((arrival, path))
        return arrival

    def _ask_quotas(self) -> Quotas:
        self._jobqueue.terms.look()
        return Quotas(self._jobqueue.index, self._jobqueue.terms, self._clock.now())

    def _check_quota(self, queue: str, size: int) -> None:
        if reason := self._quotas.why_not(queue, size):
            raise QueueFull(
                f"{reason[0].upper()}{reason[1:]}.", "Submit it later, or drop it into the inbox: there it waits."
            )

    def _check_room(self) -> None:
        if self._jobqueue.spool.is_below(int(self._jobqueue.settings.low_water)):
            raise DiskFull("The spool's volume is below low water.", "Make room, then submit again.")

    def _copy(self, source: IO[bytes], target: Path) -> int:
        size = 0
        with open(target, "xb") as copy:
            if (shared := _share(source, copy)) is not None:
                self._progress(shared)
                return shared
            while block := source.read(_BLOCK):
                self._check_room()
                size += copy.write(block)
                self._progress(len(block))
        return size

    def commit(self, acts: Sequence[Act] = ()) -> list[Arrival]:
        """Make everything staged so far jobs, and note what was done; once this returns they survive anything.

        A duplicate that its queue links is answered with the id of the earlier job, one that it rejects is left out;
        `twins` tells of all of them.

        Raises:
            Unavailable, IndexGone: nobody knows whether they are jobs. Those that are `kept` will be.
        """
        staged, self._staged, self.kept = self._staged, [], []
        if not staged:
            return []
        self.is_broken = True
        try:
            self.twins = self._jobqueue.submit(self._lock.name, staged, self._clock.now(), acts)
        except (Unavailable, IndexGone) as error:  # of the index: all are durable in ready/, and recovery adopts them
            if not self._left(staged):
                self.kept = [arrival.id for arrival, _ in staged]
                error.hint = _KEPT
            raise
        except (PqfsError, OSError) as error:
            if (known := explained(error)) and len(self._left(staged)) < len(staged):
                known.hint = _PERHAPS
                raise known from error
            raise
        self.is_broken = False
        self._quotas = self._ask_quotas()
        linked = {twin.arrival.id: twin.earlier for twin in self.twins if twin.policy == "link"}
        rejected = {twin.arrival.id for twin in self.twins if twin.policy == "reject"}
        return [
            replace(arrival, id=linked.get(arrival.id, arrival.id))
            for arrival, _ in staged
            if arrival.id not in rejected
        ]

    def _left(self, staged: Sequence[tuple[Arrival, str]]) -> list[str]:
        """What has not moved on from the scratch."""
        return [path for _, path in staged if self._jobqueue.spool.exists(path)]


def _share(source: IO[bytes], copy: IO[bytes]) -> int | None:
    """Let a copy share its source's blocks; the size of both, or None where the file system can not do that."""
    try:
        start = source.tell()
        if start or not kernel.share_blocks(source.fileno(), copy.fileno()):
            return None
    except (OSError, ValueError):
        return None  # a pipe
    return os.fstat(copy.fileno()).st_size


def drop(spool: Path, source: IO[bytes], name: bytes, wish: Wish, progress: Callable[[int], None]) -> Path:
    """Leave a copy in the inbox, with a sidecar for what is wished, and return its path. No job id is known yet.

    Raises:
        Refused: a file of this name still waits there, or none can have it.
    """
    return deliver(inbox(spool, wish.queue), name, source, _sidecar(wish), progress=progress).path


def _sidecar(wish: Wish) -> dict[str, Any]:
    wished: dict[str, Any] = {} if wish.priority is None else {"priority": wish.priority}
    wished |= {} if wish.key is None else {"key": wish.key}
    wished |= {"metadata": metadata} if (metadata := (wish.options or {}).get("metadata")) else {}
    return wished | ({"not_before": iso(wish.ready_at)} if wish.ready_at else {})


def may_submit(settings: Settings) -> bool:
    """Whether this user may write the spool itself, and not only its inbox; what root writes is not for others."""
    spool, index = settings.spool, settings.index_file
    if other_owner(spool) is not None:
        return False
    places = [spool / name for name in ("run", "work", "ready", "meta")]
    if not all(os.access(place, os.W_OK | os.X_OK) for place in places if os.path.lexists(place)):
        return False  # what is missing is another trouble, told by whoever opens the spool
    return os.access(index, os.W_OK | os.R_OK) if os.path.lexists(index) else os.access(index.parent, os.W_OK)


def check_source(path: Path) -> int:
    """The size of a file that can be submitted.

    Raises:
        Refused: it is not a regular file, or can not be read.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise Refused(f"{_shown(path)} can not be read: {error.strerror}.") from error
    if not stat.S_ISREG(found.st_mode):
        raise Refused(
            f"{_shown(path)} is not a regular file.", "Copy folders into the inbox: cp -r FOLDER spool/inbox/"
        )
    return found.st_size


def _shown(path: Path) -> str:
    return str(path) if naming.is_text(str(path)) else naming.printable_path(str(path))
