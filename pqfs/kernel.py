"""The few system calls that Python does not offer, each with its meaning on other systems.

Nothing here knows what a spool is. Everything raises OSError as the kernel says it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import sys
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)

_RENAME_NOREPLACE = 1
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CLONE = 0x40049409  # FICLONE
_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS of linux/fs.h, as most machines number it
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
_IN_CREATE = 0x100
_NOT_OFFERED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


def _raise_errno(path: bytes, target: bytes | None = None) -> None:
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code), path, None, target)


def rename_noreplace(source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
    """Rename within one file system, never over something that is there (FileExistsError).

    Uses renameat2(RENAME_NOREPLACE); where the kernel or the file system has none, link and unlink: a crash
    between the two leaves both names on one inode, which recovery knows as a ghost.
    """
    if not rename_at_once(source_dir, source, target_dir, target):
        os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir, follow_symlinks=False)
        os.unlink(source, dir_fd=source_dir)


def rename_at_once(source_dir: int, source: bytes, target_dir: int, target: bytes) -> bool:
    """The same by renameat2 alone; False, and nothing has happened, where the file system does not offer it."""
    renameat2 = getattr(_libc, "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(source_dir, source, target_dir, target, _RENAME_NOREPLACE) == 0:
        return True
    if ctypes.get_errno() not in _NOT_OFFERED:
        _raise_errno(source, target)
    return False


def syncfs(descriptor: int) -> None:
    """Make everything on the descriptor's file system durable; sync() where there is no syncfs."""
    if not hasattr(_libc, "syncfs"):
        os.sync()
    elif _libc.syncfs(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def is_open_for_writing(descriptor: int) -> bool:
    """Ask the kernel whether anybody on this host has the file open for writing or mapped writable.

    A read lease is granted only when nobody has (fcntl(2), F_SETLEASE); it is given back at once. About 10 µs.

    Raises:
        OSError: no lease is to be had here (not our file and no CAP_LEASE: EACCES; a file system without
            leases: EINVAL); the question stays unanswered.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        raise OSError(errno.EINVAL, "this system has no file leases")
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def is_immovable(descriptor: int) -> bool:
    """Whether the file is immutable or append-only (chattr(1)), so that not even its owner may rename it (Linux)."""
    try:
        flags = fcntl.ioctl(descriptor, _GET_FLAGS, b"\0" * 8)
    except OSError:
        return False
    return bool(int.from_bytes(flags[:4], sys.byteorder) & (_IMMUTABLE | _APPEND_ONLY))


def share_blocks(source: int, target: int) -> bool:
    """Make an empty file one that shares all blocks of another (btrfs, xfs); False where that can not be done."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError:
        return False
    return True


def ignore_lease_breaks() -> None:
    """A writer that opens a file under our lease sends SIGIO, whose default action kills."""
    if hasattr(signal, "SIGIO"):
        signal.signal(signal.SIGIO, signal.SIG_IGN)


def die_with_parent(number: signal.Signals) -> None:
    """Ask for `number` when the thread that started this process ends (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def become_subreaper() -> None:
    """Orphaned descendants become children of this process, so that none escapes (Linux)."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def notice_arrivals(path: bytes) -> int:
    """A descriptor that becomes readable when a name is made in a directory (inotify).

    Raises:
        OSError: this kernel, or its file system, has no such events (ENOSYS), or no room for more watches.
    """
    if not hasattr(_libc, "inotify_init1"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        _raise_errno(path)
    if _libc.inotify_add_watch(descriptor, path, _IN_CREATE) < 0:
        os.close(descriptor)
        _raise_errno(path)
    return int(descriptor)


@dataclass(frozen=True, slots=True)
class Mount:
    """What is mounted somewhere: where, of which type, from what, with which options (the superblock's, too)."""

    point: bytes
    kind: str
    source: str
    options: frozenset[str]


def mount_of(path: bytes) -> Mount:
    """The mount that holds `path`, as /proc/self/mountinfo names it; of the type `unknown` where nothing tells.

    Found by the longest mount point above the path: btrfs shows a device number that no mount has.
    """
    path = os.path.realpath(path)
    found = Mount(b"", "unknown", "", frozenset())
    try:
        with open("/proc/self/mountinfo", "rb") as mounts:
            for line in mounts:
                left, _, right = line.partition(b" - ")
                fields, rest = left.split(), right.split()
                point = fields[4].decode("unicode_escape").encode("latin-1")
                inside = path == point or path.startswith(point.rstrip(b"/") + b"/")
                if inside and len(point) >= len(found.point):
                    options = frozenset(f"{fields[5].decode()},{rest[-1].decode()}".split(","))
                    found = Mount(point, rest[0].decode(), os.fsdecode(rest[1]), options)
    except OSError:
        pass
    return found


def file_system(path: bytes) -> str:
    """The type of the file system that holds `path`; `unknown` where nothing tells."""
    return mount_of(path).kind
