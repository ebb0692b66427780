"""The ground that a spool stands on: small files and directories of ours, durability, and the alarm when it fails.

After any error of an operation it is looked before it is judged. A failed sync is never repeated on the same data:
the second one reports success and lies.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pqfs.errors import DiskFull, VolumeFault
from pqfs.events import Word, emit
from pqfs.files import Files, SyncFailed, open_directory
from pqfs.pace import Pace
from pqfs.places import Places

T = TypeVar("T")
_BALLAST = "run/ballast"
_MEMORY = Path("/dev/shm")
_DEEP, _ROUNDS = 64, 1000  # folders that are removed in one go, and how often that is repeated for deeper ones


class Ground(Places):
    """A spool's directory that can be changed, through `files`, and made durable.

    `alarm` is the file that says that a sync of this volume has failed: in memory, not on the volume itself.

    Source: syncfs(2) reports write-back errors once per open descriptor, so a barrier is only sound on one
    that was open before the writes (measured on xfs and btrfs).
    """

    def __init__(
        self,
        root: Path,
        files: Files | None = None,
        durable: bool = True,
        alarms: Path | None = None,
        pace: Pace | None = None,
    ) -> None:
        super().__init__(root)
        self._files = files or Files()
        self._durable = durable
        self.pace = pace or Pace()
        self.alarm = _alarm(self._fd, alarms or _volatile())

    # ---------------------------------------------------------------- small files, directories

    def replace_small(self, target: str, scratch: str, data: bytes) -> None:
        """Write or replace a small file of ours, whole and durable, by way of `scratch` beside it."""
        self.remove(scratch)
        self._files.write(self._fd, os.fsencode(scratch), data)
        if self._durable:
            self._sync([scratch], [])
        self._replace(os.fsencode(scratch), os.fsencode(target))
        if self._durable:
            self._sync([], [os.path.dirname(target) or "."])

    def replace_all(self, folder: str, files: Mapping[str, bytes]) -> None:
        """The same for many files of one folder, by their names: their data durable together, then their names."""
        scratches = {name: f"{folder}/.{name}.tmp" for name in files}
        for name, data in files.items():
            self.remove(scratches[name])
            self._files.write(self._fd, os.fsencode(scratches[name]), data)
        self.barrier(list(scratches.values()), [folder])
        for name, scratch in scratches.items():
            self._replace(os.fsencode(scratch), os.fsencode(f"{folder}/{name}"))
        if self._durable:
            self._sync([], [folder])

    def _replace(self, scratch: bytes, target: bytes) -> None:
        """Rename one of our small files over what is there; an error is believed only if it did not happen."""
        written = self.status(os.fsdecode(scratch))
        try:
            self._files.replace(self._fd, scratch, target)
        except OSError:
            found = self.status(os.fsdecode(target))
            if written is None or found is None or not os.path.samestat(written, found):
                raise

    def make_directory(self, relative: str) -> None:
        """Make a directory and those above it where they are missing."""
        try:
            self._files.mkdir(self._fd, os.fsencode(relative))
        except FileExistsError:
            pass
        except FileNotFoundError:
            if not (parent := os.path.dirname(relative)):
                raise
            self.make_directory(parent)
            self.make_directory(relative)

    def remove(self, relative: str) -> bool:
        """Unlink one of our files; False when it is not there."""
        try:
            self._files.unlink(self._fd, os.fsencode(relative))
        except FileNotFoundError:
            return False
        return True

    def remove_tree(self, relative: str) -> None:
        """Remove a file or directory with all below it, however deep, links not followed.

        Through descriptors: a stranger's directory in rejected/ is still its owner's, who may put a link in the
        place of a folder at any time.
        """
        found = self.status(relative)
        if found is None:
            return
        if not stat.S_ISDIR(found.st_mode):
            self._unlink_unless_held(self._fd, os.fsencode(relative))
            return
        left: list[str] | None = None
        for _ in range(_ROUNDS):
            self._empty(self._fd, os.fsencode(relative))
            before, left = left, self.entries(relative, hidden=True)
            if self.remove_directory(relative) or left == before:  # the same is left: somebody has it open (NFS)
                return

    def _empty(self, above: int, name: bytes, top: int | None = None, depth: int = 0) -> None:
        """Remove what is in a directory. What lies too deep is moved up to `top`, for another round."""
        try:
            directory = _open_up(name, above)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            for inner in os.listdir(directory):
                is_folder = stat.S_ISDIR(os.stat(inner, dir_fd=directory, follow_symlinks=False).st_mode)
                if not is_folder:
                    self._unlink_unless_held(directory, os.fsencode(inner))
                elif depth < _DEEP:
                    self._empty(directory, os.fsencode(inner), directory if top is None else top, depth + 1)
                    self._drop_folder(directory, os.fsencode(inner))
                elif top is not None:
                    self._files.rename(directory, os.fsencode(inner), top, f".{os.urandom(8).hex()}".encode())
        except FileNotFoundError:
            pass  # somebody else removes the same: the next round looks again
        finally:
            os.close(directory)

    def _unlink_unless_held(self, directory: int, name: bytes) -> None:
        """On NFS what was removed while it was open lies there under another name, and is busy until it is closed."""
        try:
            self._files.unlink(directory, name)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOENT):
                raise

    def _drop_folder(self, directory: int, name: bytes) -> bool:
        """Remove an empty folder; whether it is gone."""
        try:
            self._files.rmdir(directory, name)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def leave_scratch(self, owner: str) -> None:
        """Remove what attempts of an owner that ends left in work/<owner>/, but no complete output.

        One may have been committed and not published (the answer got lost, the move failed): then the directory
        stays, and recovery publishes it.
        """
        for name in self.entries(f"work/{owner}", hidden=True):
            if not name.endswith(".out"):
                self.remove_tree(f"work/{owner}/{name}")
        self.remove_directory(f"work/{owner}")

    def remove_folder(self, inbox_dir: int, name: bytes) -> bool:
        """Remove a producer's empty folder, by the descriptor of the one that holds it: no link is followed."""
        return self._drop_folder(inbox_dir, name)

    def remove_directory(self, relative: str) -> bool:
        """Remove a directory if it is empty."""
        return self._drop_folder(self._fd, os.fsencode(relative))

    # ---------------------------------------------------------------- alarm

    def raise_alarm(self, reason: str) -> Path:
        """Leave the alarm. It stands until a reboot, or until a person removes it."""
        self.alarm.write_text(f"{reason}\n")
        return self.alarm

    def copy_anew(self, relative: str, left: Sequence[str] = ()) -> None:
        """Give a payload a new inode with the bytes that the disk gives back now, durable.

        After a failed sync the old inode's pages count as clean, whatever is on the disk: only a copy proves
        that they can be read and written. `left` are the directories that it may have come from: a loss of power
        must not bring its old name back, since only by its inode would that be known as the same file.
        """
        self._sync([], [os.path.dirname(relative), *left])
        scratch = f"{os.path.dirname(relative)}/.{os.path.basename(relative)[:36]}.copy"
        self.remove(scratch)
        shutil.copyfile(self.path(relative), self.path(scratch), follow_symlinks=False)
        self._sync([scratch], [])
        self._replace(os.fsencode(scratch), os.fsencode(relative))
        self._sync([], [os.path.dirname(relative)])

    def put_back(self, descriptor: int, relative: str, scratch: str) -> None:
        """Give a payload that is held by a descriptor its place again, as a durable copy; what lies there goes.

        Crash here: the handler had removed the payload, only scratch holds a copy; the job fails as *payload lost*.
        """
        self.remove_tree(scratch)
        shutil.copyfile(f"/proc/self/fd/{descriptor}", self.path(scratch))
        found = os.fstat(descriptor)
        os.utime(self.path(scratch), ns=(found.st_atime_ns, found.st_mtime_ns))
        self._sync([scratch], [])
        self.remove_tree(relative)
        self._replace(os.fsencode(scratch), os.fsencode(relative))

    # ---------------------------------------------------------------- ballast

    def keep_ballast(self, low_water: int) -> None:
        """Keep a file that can be given up when the disk is full: on a full one SQLite can not even delete."""
        if not self.exists(_BALLAST) and not self.is_below(2 * low_water):
            volume = os.fstatvfs(self._fd)
            size = min(low_water // 4, volume.f_blocks * volume.f_frsize // 100)
            self._files.write(self._fd, os.fsencode(_BALLAST), b"\0" * size)

    def give_up_ballast(self) -> bool:
        """Remove that file to make room; whether it was there."""
        return self.remove(_BALLAST)

    def make_room(self, act: Callable[[], T]) -> T:
        """Do what makes room; where the disk is too full even for that, once more without the ballast.

        Raises:
            DiskFull: there is no room even so.
        """
        try:
            return act()
        except DiskFull:
            if not self.give_up_ballast():
                raise
            return act()

    # ---------------------------------------------------------------- durability

    def barrier(self, files: Sequence[str], directories: Sequence[str | int] | None) -> None:
        """Make these files and the entries of these directories durable, in this order.

        By an fsync each or one syncfs for all, whichever was quicker lately. A directory of the inbox is given by its
        descriptor, since its name may mean another by now; None: by syncfs, whichever they are. Under `relaxed`
        nothing is synced.

        Raises:
            VolumeFault: a sync failed. The batch must be abandoned: a second sync on the same data would
                report success and lie.
        """
        if not self._durable or not files:
            return
        began = time.perf_counter()
        if directories is not None and self.pace.prefers_fsync(len(files), len(directories)):
            self._sync(files, directories)
            self.pace.note_fsync(len(files) + len(directories), time.perf_counter() - began)
            return
        try:
            self._files.syncfs(self._fd)
        except SyncFailed as error:
            raise self._volume_fault(error) from error
        self.pace.note_syncfs(len(files), time.perf_counter() - began)

    def _sync(self, files: Sequence[str], directories: Sequence[str | int]) -> None:
        """An fsync each.

        Raises:
            VolumeFault: one failed. OSError: a file could not be opened, and nothing has been tried on it.
        """
        try:
            for relative in files:
                self._sync_tree(relative)
            for each in directories:
                if isinstance(each, int):
                    self._files.fsync(each, b".")
                else:
                    self._files.fsync(self._fd, os.fsencode(each))
        except SyncFailed as error:
            raise self._volume_fault(error) from error

    def _volume_fault(self, error: SyncFailed) -> VolumeFault:
        alarm = self.raise_alarm(str(error.strerror))
        emit(Word.ALARM, what="a sync of the spool's volume failed", error=error.strerror, alarm=str(alarm))
        return VolumeFault(
            f"A sync of the spool's volume failed: {error.strerror}.",
            f"Look at the kernel's log (dmesg), replace the disk, then remove {alarm}.",
        )

    def _sync_tree(self, relative: str) -> None:
        found = self.status(relative)
        if found and stat.S_ISDIR(found.st_mode):
            for name in self.entries(relative, hidden=True):
                self._sync_tree(f"{relative}/{name}")
        if found and not stat.S_ISLNK(found.st_mode):
            self._files.fsync(self._fd, os.fsencode(relative))


def _open_up(name: bytes, above: int) -> int:
    """A descriptor of a directory, which a program of ours may have closed to everybody, us included."""
    try:
        directory = open_directory(name, above)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=above)
        try:
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)
        finally:
            os.close(handle)
        directory = open_directory(name, above)
    found = os.fstat(directory)
    if found.st_uid == os.geteuid() and found.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.fchmod(directory, stat.S_IRWXU)
    return directory


def _volatile() -> Path:
    """Where an alarm survives the volume that it is about."""
    if _MEMORY.is_dir():
        return _MEMORY
    from tempfile import gettempdir  # it brings the generators of random numbers with it

    return Path(gettempdir())


def _alarm(root: int, memory: Path) -> Path:
    """Asked at start: a volume that has failed answers nothing any more (xfs, once it has shut down)."""
    found = os.fstat(root)
    return memory / f"pqfs-{os.getuid()}-{found.st_dev:x}-{found.st_ino:x}.alarm"
