"""The seam through which every change to the spool goes, one method a system call.

`Spool` takes a `Files` object; tests pass one that stops before call n, or fails it, for n = 1, 2, 3 …
Paths are bytes relative to a directory descriptor. Nothing here decides anything, but that a sync which failed is
told apart from a file that could not be opened: only the first means that data may be gone.
"""

from __future__ import annotations

import os

from pqfs import kernel

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class SyncFailed(OSError):
    """The kernel could not write what it was given. It says so once; another sync would report success."""


class Files:
    """File operations as the kernel does them; OSError as the kernel says it."""

    def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        """Move within the file system, never over something."""
        kernel.rename_noreplace(source_dir, source, target_dir, target)

    def unlink(self, directory: int, path: bytes) -> None:
        """Remove a name that is not a directory."""
        os.unlink(path, dir_fd=directory)

    def mkdir(self, directory: int, path: bytes, mode: int = 0o750) -> None:
        """Make a directory."""
        os.mkdir(path, mode, dir_fd=directory)

    def rmdir(self, directory: int, path: bytes) -> None:
        """Remove an empty directory."""
        os.rmdir(path, dir_fd=directory)

    def write(self, directory: int, path: bytes, data: bytes, mode: int = 0o640) -> None:
        """Create a new file with these bytes. Not durable before a sync."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, mode, dir_fd=directory)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)

    def replace(self, directory: int, source: bytes, target: bytes) -> None:
        """Rename over what is there: only for our own small files that have one writer."""
        os.replace(source, target, src_dir_fd=directory, dst_dir_fd=directory)

    def fsync(self, directory: int, path: bytes) -> None:
        """Make a file's data durable, or a directory's entries."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise SyncFailed(error.errno, error.strerror, path) from error
        finally:
            os.close(descriptor)

    def syncfs(self, descriptor: int) -> None:
        """Make everything on the descriptor's file system durable."""
        try:
            kernel.syncfs(descriptor)
        except OSError as error:
            raise SyncFailed(error.errno, error.strerror) from error


def open_directory(path: bytes, directory: int | None = None) -> int:
    """A descriptor of a directory; a symbolic link at its last component is not followed."""
    flags = _DIRECTORY if directory is None else _DIRECTORY | os.O_NOFOLLOW
    return os.open(path, flags, dir_fd=directory)
