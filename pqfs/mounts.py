"""What a file system can do, found out by trying it: one probe a question, in a scratch directory that goes again.

A probe that the file system refuses leaves its question open (None), which is an answer, too. Nothing here judges;
`mounting` does. Each probe takes milliseconds on a disk, and a few round trips on a share.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pqfs import kernel
from pqfs.clock import Clock

LONGEST = 255  # bytes of a name that pqfs counts on
_SEEN_WITHIN = 1.0
_COMPOSED, _DECOMPOSED = "\u00e9", "e\u0301"  # e with an acute accent, as one character and as two
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Traits:
    """What a mount can do; None: it could not be tried.

    `moves`: how a file is moved, never over another: `rename` (renameat2), `link` (link and unlink), or not at all.
    `sees_writers`: whether a lease tells of one on this host. `events`: whether this host's own arrivals are told of.
    `skew`: seconds that the file system's clock is ahead of ours; `precision`: by how much that may be wrong.
    """

    mount: kernel.Mount
    moves: str | None
    links: bool | None
    fsync: float | None
    syncs_directories: bool | None
    syncfs: float | None
    locks: bool | None
    events: bool | None
    sees_writers: bool | None
    longest_name: int | None
    folds_case: bool | None
    keeps_names: bool | None
    silly_renames: bool | None
    skew: float | None
    precision: float


def examine(directory: Path, clock: Clock) -> Traits:
    """Try everything in a scratch directory of this one.

    Raises:
        OSError: none can be made there.
    """
    scratch = Path(tempfile.mkdtemp(dir=directory, prefix=".pqfs-doctor."))
    try:
        return _examine(scratch, clock)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _examine(scratch: Path, clock: Clock) -> Traits:
    skew, precision = _skew(scratch, clock)
    return Traits(
        mount=kernel.mount_of(os.fsencode(scratch)),
        moves=_tried(_moves, scratch), links=_tried(_links, scratch), fsync=_tried(_fsync, scratch),
        syncs_directories=_tried(_sync_directory, scratch), syncfs=_tried(_syncfs, scratch),
        locks=_tried(_locks, scratch), events=_tried(_events, scratch), sees_writers=_tried(_sees_writers, scratch),
        longest_name=_tried(_longest_name, scratch), folds_case=_tried(_folds_case, scratch),
        keeps_names=_tried(_keeps_names, scratch), silly_renames=_tried(_silly_renames, scratch),
        skew=skew, precision=precision,
    )  # fmt: skip


def _tried(probe: Callable[[Path], _Answer], scratch: Path) -> _Answer | None:
    """The answer of a probe in a directory of its own; None where the file system refuses what it does."""
    folder = scratch / probe.__name__
    try:
        folder.mkdir()
        return probe(folder)
    except OSError:
        return None


# -------------------------------------------------------------------- moves


def _moves(folder: Path) -> str | None:
    """By which call a move never overwrites: both must refuse a target that is there."""
    at_once = _refuses(folder, kernel.rename_at_once)
    if at_once is not None:
        return "rename" if at_once else None
    return "link" if _refuses(folder, _link_over) else None


def _refuses(folder: Path, move: Callable[[int, bytes, int, bytes], bool]) -> bool | None:
    """Whether a move to a free name works and one to a name in use is refused; None where there is no such call."""
    for name in ("free", "used", "other"):
        (folder / name).write_bytes(name.encode())
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not move(directory, b"free", directory, b"moved"):
            return None
        move(directory, b"other", directory, b"used")
    except FileExistsError:
        return (folder / "used").read_bytes() == b"used"
    finally:
        os.close(directory)
    return False


def _link_over(source_dir: int, source: bytes, target_dir: int, target: bytes) -> bool:
    os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir, follow_symlinks=False)
    os.unlink(source, dir_fd=source_dir)
    return True


def _links(folder: Path) -> bool:
    """Whether a hard link is the same file, and is counted."""
    (folder / "one").write_bytes(b"")
    os.link(folder / "one", folder / "two")
    found = os.stat(folder / "two")
    return found.st_nlink == 2 and os.path.samestat(found, os.stat(folder / "one"))


# -------------------------------------------------------------------- durability


def _fsync(folder: Path) -> float:
    """Seconds that it takes to make a small file durable."""
    with (folder / "file").open("wb") as file:
        file.write(b"x" * 4096)
        file.flush()
        began = time.perf_counter()
        os.fsync(file.fileno())
        return time.perf_counter() - began


def _sync_directory(folder: Path) -> bool:
    return _on_directory(folder, os.fsync) >= 0


def _syncfs(folder: Path) -> float:
    """Seconds that it takes to make all of the file system durable."""
    (folder / "file").write_bytes(b"x" * 4096)
    return _on_directory(folder, kernel.syncfs)


def _on_directory(folder: Path, sync: Callable[[int], None]) -> float:
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        began = time.perf_counter()
        sync(directory)
        return time.perf_counter() - began
    finally:
        os.close(directory)


# -------------------------------------------------------------------- who else is there


def _locks(folder: Path) -> bool:
    """Whether a second descriptor finds the lock of the first."""
    (folder / "file").write_bytes(b"")
    with (folder / "file").open("r+b") as first, (folder / "file").open("r+b") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _events(folder: Path) -> bool:
    """Whether the kernel tells of a file that this host makes."""
    descriptor = kernel.notice_arrivals(os.fsencode(folder))
    try:
        (folder / "file").write_bytes(b"")
        return bool(select.select([descriptor], [], [], _SEEN_WITHIN)[0])
    finally:
        os.close(descriptor)


def _sees_writers(folder: Path) -> bool:
    """Whether a lease is refused while somebody writes a file, and granted when nobody does.

    Asked with nobody breaking the lease, so that no signal comes.
    """
    (folder / "file").write_bytes(b"x")
    with (folder / "file").open("rb") as reader:
        with (folder / "file").open("ab"):
            while_written = kernel.is_open_for_writing(reader.fileno())
        return while_written and not kernel.is_open_for_writing(reader.fileno())


# -------------------------------------------------------------------- names


def _longest_name(folder: Path) -> int:
    """Bytes of the longest name, of at most as many as pqfs needs."""
    (folder / ("n" * min(LONGEST, os.pathconf(folder, "PC_NAME_MAX")))).write_bytes(b"")
    return max(len(name) for name in os.listdir(folder))


def _folds_case(folder: Path) -> bool:
    (folder / "a").write_bytes(b"")
    return (folder / "A").exists()


def _keeps_names(folder: Path) -> bool:
    """Whether a name comes back byte for byte, and its other spelling is another name."""
    (folder / _COMPOSED).write_bytes(b"")
    return os.listdir(folder) == [_COMPOSED] and not (folder / _DECOMPOSED).exists()


def _silly_renames(folder: Path) -> bool:
    """Whether a file that is removed while it is open gets another name instead (NFS, FUSE)."""
    with (folder / "file").open("wb"):
        (folder / "file").unlink()
        return bool(os.listdir(folder))


def _skew(scratch: Path, clock: Clock) -> tuple[float | None, float]:
    """By how much the clock that gives files their times is ahead of ours, and how exactly that is known (seconds).

    Never our own clock: a name is made, and the server says when. Taken three times; the quickest is the best.
    """
    best: tuple[float | None, float] = (None, float("inf"))
    for number in range(3):
        try:
            before = clock.now()
            os.mkdir(scratch / f"moment{number}")
            after = clock.now()
            changed = os.stat(scratch / f"moment{number}").st_ctime
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            continue
        if (after - before) / 2 < best[1]:
            best = (changed - (before + after) / 2, (after - before) / 2)
    return best
