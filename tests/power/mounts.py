"""Mounts and loop devices, by the system calls: a state costs milliseconds, and two programs would cost more.

Everything happens in a private mount namespace (`private_mounts`), and a loop device goes when its last user goes.
So whatever ends us, Ctrl-C or SIGKILL, leaves neither mounts nor loop devices behind.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE, _MS_NOATIME = 0x4000, 0x40000, 0x400
_MNT_DETACH = 2
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
_BLKFLSBUF = 0x1261
_LOOP_CONFIG = struct.Struct("=II 24x 16x 12x I 64x 64x 32x 16x 64x")  # linux/loop.h: struct loop_config
_MAJOR = 7
_PATIENCE = 10.0
_Answer = TypeVar("_Answer")


def private_mounts() -> None:
    """From now on what this process mounts is seen by it and its children only, and goes with the last of them."""
    _check(_libc.unshare(_CLONE_NEWNS))
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))


def _check(answer: int) -> None:
    if answer != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Loop:
    """A block device over a file. It is there until it is closed and nothing is mounted from it."""

    def __init__(self, path: Path) -> None:
        backing = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self.path, self._descriptor = _again_while_busy(lambda: _attach(backing))
        finally:
            os.close(backing)

    def forget_pages(self) -> None:
        """Drop what the kernel remembers of the device: the file below it has changed."""
        fcntl.ioctl(self._descriptor, _BLKFLSBUF, 0)

    def close(self) -> None:
        """Give the device back."""
        os.close(self._descriptor)


def _attach(backing: int) -> tuple[Path, int]:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
    finally:
        os.close(control)
    path = Path(f"/dev/loop{number}")
    if not path.exists():
        os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(_MAJOR, number))
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _LOOP_CONFIGURE, _LOOP_CONFIG.pack(backing, 0, _LO_FLAGS_AUTOCLEAR))
    except BaseException:
        os.close(descriptor)
        raise
    return path, descriptor


def _again_while_busy(act: Callable[[], _Answer]) -> _Answer:
    """Others take loop devices too, and an unmount may wait for a process that is just ending."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return act()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.002)


def mount(source: Path, target: Path, kind: str, options: str = "") -> None:
    """Mount a device."""
    words = (os.fsencode(source), os.fsencode(target), kind.encode(), _MS_NOATIME, options.encode() or None)
    _check(_libc.mount(*words))


def unmount(target: Path) -> None:
    """Unmount; a process that ends just now is waited for."""
    _again_while_busy(lambda: _check(_libc.umount2(os.fsencode(target), 0)))


def unmount_anyhow(target: Path) -> None:
    """Take a mount out of sight, whoever uses it."""
    _libc.umount2(os.fsencode(target), _MNT_DETACH)


@contextmanager
def mounted(source: Path, target: Path, kind: str, options: str = "") -> Iterator[Path]:
    """A device for the length of a block."""
    mount(source, target, kind, options)
    try:
        yield target
    except BaseException:
        unmount_anyhow(target)
        raise
    unmount(target)
