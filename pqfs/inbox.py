"""What lies in the inbox, and whether it is complete. Looks, never moves.

A file is complete when the kernel grants a read lease on it: nobody on this host has it open for writing or
mapped writable. Where leases are refused (another owner's file without CAP_LEASE, a network file system) or
the queue asks for it, a file is complete once it was *seen unchanged* for `settle` seconds of our own clock;
modification times may lie.

Known weakness: the lease proves nothing about writers on other hosts, so network file systems always settle, and
there the kernel is not even asked (`footing`).
Writers that close and reopen one file need `settle` on their queue. A producer who moves a whole folder out of
the inbox in the microseconds between judgement and rename has its file taken from where the folder is by then.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from pathlib import Path

from pqfs import kernel
from pqfs.files import open_directory
from pqfs.footing import footing
from pqfs.model import DEFAULT_QUEUE
from pqfs.settings import PerQueue, QueueSettings, Settings

# Names that say "not yet": hidden files, and what rsync, browsers, office programs and transfer tools write.
IGNORED = (
    ".*", "*.tmp", "*.temp", "*.part", "*.partial", "*.crdownload", "*.download", "*.filepart", "*.swp",
    "~$*", "*~", "*.!sync", "Thumbs.db", "desktop.ini",
)  # fmt: skip
SIDECAR = b".job.json"
_SOON = 0.05
DEEPEST = 32  # folders below the inbox; what lies deeper is refused, so that no depth can exhaust us


class Verdict(Enum):
    """What to do with an entry of the inbox."""

    TAKE = "take"
    WAIT = "wait"
    REJECT = "reject"
    GHOST = "ghost"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in the inbox. `path` is relative to the inbox; `name` is what the job will be called.

    `ctime_ns` and `inode` are known of sidecars only.
    """

    path: bytes
    queue: str
    name: bytes
    mtime_ns: int
    size: int
    ctime_ns: int = 0
    inode: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason in words. `descriptor` is open for reading when the verdict is TAKE."""

    verdict: Verdict
    reason: str = ""
    retry_in: float = 0.0
    descriptor: int | None = None
    found: os.stat_result | None = None


@dataclass(slots=True)
class _Seen:
    identity: tuple[int, int, int, int]
    unchanged_since: float
    first_seen: float


class Inbox:
    """The producers' directory, seen through descriptors so that no symbolic link is ever followed."""

    def __init__(self, root: Path, settings: Settings, terms: PerQueue | None = None) -> None:
        self.path = root / "inbox"
        self._settings = settings
        self._terms = terms or settings
        self._ignored = re.compile(
            "|".join(fnmatch.translate(p) for p in (*IGNORED, *settings.ingest.ignore)), re.DOTALL
        )
        self._seen: dict[bytes, _Seen] = {}
        self.footing = footing(self.path, settings.ingest)
        self._device: int | None = None

    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the inbox directory; None when it is not there."""
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def is_ignored(self, name: bytes) -> bool:
        """Whether a name says that its file is not meant to be taken yet."""
        return self._ignored.match(os.fsdecode(name)) is not None

    # ---------------------------------------------------------------- listing

    def entries(self, queues: frozenset[str]) -> tuple[list[Entry], list[bytes]]:
        """Everything that may become a job, in order of modification time and name, and the empty directories.

        `queues` are the names that make a directory a queue. A directory of another name belongs to the
        default queue, its files named `<dir>/<file>`.
        """
        entries: list[Entry] = []
        empty: list[bytes] = []
        try:
            top = open_directory(os.fsencode(self.path))
        except FileNotFoundError:
            return [], []
        try:
            self._device = os.fstat(top).st_dev
            self._walk(top, b"", None, queues, entries, empty)
        finally:
            os.close(top)
        # By what the entries hold already: a flood must not need the memory twice.
        entries.sort(key=attrgetter("path"))
        entries.sort(key=attrgetter("mtime_ns"))
        self._forget({entry.path for entry in entries if entry.path in self._seen})
        return entries, empty

    def _walk(
        self, directory: int, at: bytes, queue: str | None, queues: frozenset[str],
        entries: list[Entry], empty: list[bytes],
    ) -> None:  # fmt: skip
        count = 0
        for name, found in _scan(directory):
            count += 1
            if self.is_ignored(name):
                continue
            path = at + name
            inner = os.fsdecode(name) if not at and os.fsdecode(name) in queues else queue
            if stat.S_ISDIR(found.st_mode) and self._is_entered(path, found, inner):
                self._descend(directory, name, path, inner, queues, entries, empty)
            else:
                entries.append(_entry(path, queue, found))
        if not count and at and queue != at.rstrip(b"/").decode("utf-8", "replace"):
            empty.append(at.rstrip(b"/"))

    def _is_entered(self, path: bytes, found: os.stat_result, queue: str | None) -> bool:
        """Whether a directory is looked into, and not judged itself: no mount, not too deep, not to be refused."""
        if found.st_dev != self._device or path.count(b"/") >= DEEPEST:
            return False
        is_unknown = b"/" not in path and queue is None
        return not (is_unknown and self._settings.ingest.unknown_directory == "reject")

    def _descend(
        self, directory: int, name: bytes, path: bytes, queue: str | None, queues: frozenset[str],
        entries: list[Entry], empty: list[bytes],
    ) -> None:  # fmt: skip
        try:
            inner = open_directory(name, directory)
        except OSError:
            return  # gone, replaced by a link, or closed to us: the next sweep looks again
        try:
            self._walk(inner, path + b"/", queue, queues, entries, empty)
        finally:
            os.close(inner)

    def open_parent(self, entry: Entry) -> int:
        """A descriptor of the directory that holds an entry, reached without following links."""
        directory = open_directory(os.fsencode(self.path))
        for part in entry.path.split(b"/")[:-1]:
            try:
                inner = open_directory(part, directory)
            finally:
                os.close(directory)
            directory = inner
        return directory

    # ---------------------------------------------------------------- judging

    def judge(self, directory: int, entry: Entry, now: float) -> Judgement:
        """Decide about one entry. `now` is boot time; `directory` holds the entry.

        A TAKE carries an open descriptor of exactly the file that was judged; the caller closes it.
        """
        base = os.path.basename(entry.path)
        try:
            handle = os.open(base, _PATH_ONLY, dir_fd=directory)
        except FileNotFoundError:
            return Judgement(Verdict.VANISHED)
        except OSError as error:
            return self._judge_unopenable(directory, base, error)
        try:
            return self._judge_open(handle, entry, now)
        finally:
            os.close(handle)

    def _judge_unopenable(self, directory: int, base: bytes, error: OSError) -> Judgement:
        """Only where there is no O_PATH: a link or a socket refuses to be opened at all."""
        try:
            found = os.stat(base, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return Judgement(Verdict.VANISHED)
        if not stat.S_ISREG(found.st_mode):
            return Judgement(Verdict.REJECT, _kind(found.st_mode), found=found)
        return Judgement(Verdict.WAIT, f"it can not be opened: {error.strerror}", 5.0, found=found)

    def _judge_open(self, handle: int, entry: Entry, now: float) -> Judgement:
        found = os.fstat(handle)
        queue = self._terms.queue(entry.queue)
        if self._device is not None and found.st_dev != self._device:
            return Judgement(Verdict.WAIT, "another file system is mounted there", 5.0, found=found)
        if stat.S_ISDIR(found.st_mode):
            return self._judge_directory(entry, found)
        if not stat.S_ISREG(found.st_mode):
            return Judgement(Verdict.REJECT, _kind(found.st_mode), found=found)
        if queue.largest is not None and found.st_size > queue.largest:
            reason = f"it has {found.st_size} bytes; queue {entry.queue} takes at most {queue.largest}"
            return Judgement(Verdict.REJECT, reason, found=found)
        seen = self._look(entry, found, now)
        if found.st_nlink != 1:
            return self._judge_waiting("it has another hard link, so it may still be delivered", seen, found, now)
        try:
            descriptor = _reopen(handle)
        except PermissionError:
            return self._judge_waiting("it can not be read by this user", seen, found, now)
        except BlockingIOError:
            return Judgement(Verdict.WAIT, "its producer holds a lease on it, which says: not yet", 1.0, found=found)
        judgement = self._judge_complete(descriptor, queue, seen, found, now)
        if judgement.descriptor is None:
            os.close(descriptor)
        return judgement

    def _judge_directory(self, entry: Entry, found: os.stat_result) -> Judgement:
        if entry.path.count(b"/") >= DEEPEST:
            return Judgement(Verdict.REJECT, f"it lies more than {DEEPEST} folders deep", found=found)
        if not self._is_entered(entry.path, found, None):
            return Judgement(Verdict.REJECT, _kind(found.st_mode), found=found)
        return Judgement(Verdict.VANISHED)  # it was a file when it was listed: the next sweep looks into it

    def _look(self, entry: Entry, found: os.stat_result, now: float) -> _Seen:
        identity = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        seen = self._seen.get(entry.path)
        if seen is None:
            seen = self._seen[entry.path] = _Seen(identity, now, now)
        elif seen.identity != identity:
            seen.identity, seen.unchanged_since = identity, now
        return seen

    def _judge_waiting(self, why: str, seen: _Seen, found: os.stat_result, now: float) -> Judgement:
        limit = self._settings.ingest.wait_limit
        if now - seen.first_seen >= limit:
            return Judgement(Verdict.REJECT, f"{why}, for {limit:.0f} seconds", found=found)
        # What has just come is looked at again soon: a producer links its file to its name, then removes the other.
        waited = max(_SOON, now - seen.first_seen)
        return Judgement(Verdict.WAIT, why, min(waited, 5.0, limit), found=found)

    def _judge_complete(
        self, descriptor: int, queue: QueueSettings, seen: _Seen, found: os.stat_result, now: float
    ) -> Judgement:
        is_written = self._is_written(descriptor)
        if is_written:
            seen.unchanged_since = now
            return Judgement(Verdict.WAIT, "somebody is still writing it", 1.0, found=found)
        settle = queue.settle or 0.0
        if is_written is None or self.footing.settles:
            settle = max(settle, self._settings.ingest.settle)
        unchanged = now - seen.unchanged_since
        if unchanged < settle:
            why = f"it must stay unchanged for {settle:g} seconds, so far {unchanged:.1f}"
            return Judgement(Verdict.WAIT, why, settle - unchanged, found=found)
        return Judgement(Verdict.TAKE, descriptor=descriptor, found=found)

    def _is_written(self, descriptor: int) -> bool | None:
        """What the kernel says; None where it can not be asked."""
        if not self.footing.asks_leases:
            return None
        try:
            return kernel.is_open_for_writing(descriptor)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.ENOLCK):
                raise
            return None

    def note(self, entry: Entry, now: float) -> None:
        """Remember when something was first seen that is not judged yet."""
        self._seen.setdefault(entry.path, _Seen((0, 0, 0, 0), now, now))

    def waited(self, entry: Entry, now: float) -> float:
        """Seconds since an entry was first seen."""
        seen = self._seen.get(entry.path)
        return now - seen.first_seen if seen else 0.0

    def quiet(self, entry: Entry, now: float) -> float:
        """Seconds since an entry was last seen to change, or to be written; each judgement looks anew."""
        seen = self._seen.get(entry.path)
        return now - seen.unchanged_since if seen else 0.0

    def let_go(self, entry: Entry) -> None:
        """Forget an entry that has left the inbox."""
        self._seen.pop(entry.path, None)

    def _forget(self, present: set[bytes]) -> None:
        for path in self._seen.keys() - present:
            del self._seen[path]


_PATH_ONLY = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK) | os.O_NOFOLLOW | os.O_CLOEXEC


def _reopen(handle: int) -> int:
    """Open for reading exactly the inode that was checked: its name may mean something else by now."""
    if hasattr(os, "O_PATH"):
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    return os.dup(handle)


def _scan(directory: int) -> Iterator[tuple[bytes, os.stat_result]]:
    with os.scandir(directory) as listing:
        for item in listing:
            try:
                yield os.fsencode(item.name), item.stat(follow_symlinks=False)
            except OSError:
                continue  # gone since, or a mount that this user may not look at


def _entry(path: bytes, queue: str | None, found: os.stat_result) -> Entry:
    name = path if queue is None else path.partition(b"/")[2]
    told = (found.st_ctime_ns, found.st_ino) if path.endswith(SIDECAR) else ()  # a flood must fit into memory
    return Entry(path, queue or DEFAULT_QUEUE, name, found.st_mtime_ns, found.st_size, *told)


_KINDS: Mapping[str, str] = {
    "S_ISDIR": "it is a directory, and no queue has its name",
    "S_ISLNK": "it is a symbolic link",
    "S_ISFIFO": "it is a named pipe",
    "S_ISSOCK": "it is a socket",
    "S_ISBLK": "it is a block device",
    "S_ISCHR": "it is a character device",
}


def _kind(mode: int) -> str:
    return next((what for test, what in _KINDS.items() if getattr(stat, test)(mode)), "it is not a regular file")


def says_not_yet(name: str) -> bool:
    """Whether no file of this name is ever taken, because the name says that it is not complete."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in IGNORED)


def writers(path: Path) -> list[int]:
    """The processes on this host that hold a file open for writing, as far as the system shows them."""
    try:
        wanted = path.stat()
    except OSError:
        return []
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _writes(entry, wanted)]


def _writes(process: Path, wanted: os.stat_result) -> bool:
    try:
        for link in (process / "fd").iterdir():
            found = link.stat()
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                flags = re.search(r"flags:\s+(\d+)", (process / "fdinfo" / link.name).read_text())
                if flags and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY:
                    return True
    except OSError:
        pass
    return False
