"""Where things are in a spool, and what lies there. Reads only; the one thing that it makes is an empty tree.

inbox/            producers write here, and nowhere else; inbox/<queue>/ feeds a named queue
ready/<arriver>/  accepted payloads, waiting
claimed/          payloads being processed
work/<owner>/     what attempts write until it is published
outbox/           published outputs; outbox/<queue>/ for a named queue
done/<date>/      inputs of completed jobs, kept for a while
dead/             inputs of failed and unprocessable jobs
cancelled/        inputs of cancelled jobs
rejected/         what could not become a job, each with its reason
meta/             <job>.json: what a payload's path does not tell; written before the payload moves in
run/              locks, bells, sockets; never payloads
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pqfs import naming
from pqfs.clock import day
from pqfs.errors import Misconfigured
from pqfs.files import open_directory
from pqfs.model import DEFAULT_QUEUE, Job, Outline, Place
from pqfs.naming import Claimed, Parked, Scratch

DIRECTORIES = (
    "inbox", "ready", "claimed", "work", "outbox", "done", "dead", "cancelled", "rejected", "receipts", "meta", "run",
)  # fmt: skip

PROBE = ".pqfs-probe"  # what the ingester tries its watch with; hidden, so that ingestion ignores it

Identity = tuple[int, int, int, int]


def identity(found: os.stat_result) -> Identity:
    """What tells a file, as it is now, from any other: device, inode, size, time of the last change of its data."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Places:
    """One spool directory, seen through a descriptor of its root that is opened once and never again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            self._fd = open_directory(os.fsencode(root))
        except OSError as error:
            if isinstance(error, PermissionError):
                raise Misconfigured(f"This user may not enter the spool {root} ({error.strerror}).") from error
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise
            raise Misconfigured(
                f"There is no spool at {root} ({error.strerror}).", f"Make one: pqfs init --spool {root}"
            ) from error

    def close(self) -> None:
        """Give the root's descriptor back."""
        os.close(self._fd)

    # ---------------------------------------------------------------- layout

    @classmethod
    def create(cls, root: Path) -> None:
        """Make the tree where it is missing. Repeating it is harmless."""
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o750)
            for name in DIRECTORIES:
                where = root / name
                if name == "run" and where.is_symlink():  # to a directory of this host, which may not be there yet
                    where = where.resolve()
                where.mkdir(parents=True, exist_ok=True, mode=0o750)
            (root / "run").chmod(0o700)  # sockets and bells: who may write there may steer us
        except OSError as error:
            raise Misconfigured(f"The spool {root} can not be made: {error.strerror}.") from error

    def check_one_file_system(self) -> None:
        """Refuse a spool whose directories are not on one file system: a move would not be one rename.

        run/ may lie elsewhere, and be a link: of a spool that several hosts share, each has its own behind it.

        Raises:
            Misconfigured: naming the directory that lies elsewhere, or is missing.
        """
        home = os.fstat(self._fd).st_dev
        for name in DIRECTORIES:
            try:
                found = os.stat(name, dir_fd=self._fd, follow_symlinks=name == "run")
            except FileNotFoundError:
                raise Misconfigured(
                    f"{self.root / name} is missing.", f"Complete the tree: pqfs init --spool {self.root}"
                ) from None
            if not stat.S_ISDIR(found.st_mode):
                raise Misconfigured(f"{self.root / name} is not a directory.")
            if found.st_dev != home and name != "run":
                raise Misconfigured(
                    f"{self.root / name} is on another file system than {self.root}.",
                    "The whole spool must be one file system, so that every move is one rename.",
                )

    def path(self, relative: str | bytes) -> Path:
        """The absolute path of something in the spool."""
        return self.root / os.fsdecode(relative)

    def ready_path(self, arriver: str, parked: Parked) -> str:
        """Where an accepted payload waits."""
        return f"ready/{arriver}/{parked}"

    def payload_path(self, job: Job | Outline, place: Place | None = None) -> str:
        """Where a job's payload belongs (`place`: where it would be in that place)."""
        parked = Parked(job.id, job.queue, naming.disk_name(job.name))
        match place or job.place:
            case Place.READY:
                return self.ready_path(job.arriver, parked)
            case Place.CLAIMED:
                return f"claimed/{Claimed(job.id, job.attempt, parked.queue, parked.name)}"
            case Place.DONE:
                return f"done/{day(job.updated_at)}/{parked}"
            case Place.DEAD:
                return f"dead/{parked}"
            case Place.CANCELLED:
                return f"cancelled/{parked}"
            case _:
                raise ValueError("a payload that is gone has no path")

    def scratch_path(self, owner: str, job: str, attempt: int, suffix: str) -> str:
        """Where an attempt writes (`part`, `parts`) and where its complete output waits (`out`)."""
        return f"work/{owner}/{Scratch(job, attempt, suffix)}"

    def output_path(self, queue: str, output: str) -> str:
        """Where an output of this name is published."""
        return f"outbox/{output}" if queue == DEFAULT_QUEUE else f"outbox/{queue}/{output}"

    # ---------------------------------------------------------------- looking

    def status(self, relative: str) -> os.stat_result | None:
        """What lies at a path, links not followed; None when nothing does."""
        try:
            return os.stat(relative, dir_fd=self._fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, relative: str) -> bool:
        """Whether something lies at a path."""
        return self.status(relative) is not None

    def entries(self, relative: str, *, hidden: bool = False) -> list[str]:
        """The names in a directory, sorted; none when it is not there. Hidden ones only when asked for."""
        try:
            descriptor = self._open(relative)
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            return sorted(name for name in os.listdir(descriptor) if hidden or name[0] != ".")
        finally:
            os.close(descriptor)

    def _open(self, relative: str) -> int:
        """A directory of the spool. Only run/ may be a link, and is followed."""
        return open_directory(os.fsencode("run/." if relative == "run" else relative), self._fd)

    def listing(self, relative: str) -> Iterator[tuple[str, bool]]:
        """Each name in a directory that is not hidden, and whether a regular file has it; as they come, unsorted.

        Nothing is kept, however many there are. What is moved meanwhile may be seen or not.
        """
        try:
            descriptor = self._open(relative)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            with os.scandir(descriptor) as entries:
                yield from (
                    (each.name, each.is_file(follow_symlinks=False)) for each in entries if each.name[0] != "."
                )
        finally:
            os.close(descriptor)

    def payload_directories(self) -> Iterator[str]:
        """Every directory that may hold payloads."""
        yield from (f"ready/{arriver}" for arriver in self.entries("ready"))
        yield "claimed"
        yield from (f"done/{date}" for date in self.entries("done"))
        yield from ("dead", "cancelled")

    def payloads(self) -> Iterator[tuple[str, Parked | Claimed]]:
        """Every payload in the tree: its path and what its name says. Directories are listed one at a time."""
        for arriver in self.entries("ready"):
            yield from self._parked_in(f"ready/{arriver}")
        for name in self.entries("claimed"):
            if claimed := naming.parse_claimed(name):
                yield f"claimed/{name}", claimed
        for date in self.entries("done"):
            yield from self._parked_in(f"done/{date}")
        yield from self._parked_in("dead")
        yield from self._parked_in("cancelled")

    def _parked_in(self, relative: str) -> Iterator[tuple[str, Parked]]:
        for name in self.entries(relative):
            if parked := naming.parse_parked(name):
                yield f"{relative}/{name}", parked

    def find(self, job: str) -> list[str]:
        """Search the whole tree for a job's payload. Slow: only when it is not where it belongs."""
        return [path for path, name in self.payloads() if name.job == job]

    def free_bytes(self) -> int:
        """Bytes that an unprivileged process can still write to the spool's volume."""
        volume = os.fstatvfs(self._fd)
        return volume.f_bavail * volume.f_frsize

    def is_below(self, low_water: int) -> bool:
        """Whether the volume has less room than `low_water`, or than a twentieth of itself where it is small."""
        volume = os.fstatvfs(self._fd)
        total = volume.f_blocks * volume.f_frsize
        few_inodes = volume.f_files > 0 and volume.f_favail < 64
        return few_inodes or volume.f_bavail * volume.f_frsize < min(low_water, total // 20)
