"""What a handler leaves behind, looked at without trust before it is published.

Only regular files, and directories of them, are published: nothing that blocks whoever opens it, nothing that leads
elsewhere, nothing that somebody still writes, nothing that shares its bytes with another file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from pqfs import kernel
from pqfs.errors import PqfsError

_DEEPEST = 64
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NoOutput(PqfsError):
    """An attempt that says it succeeded but left nothing that can be published: success must be proved."""


def find(*candidates: Path) -> Path:
    """The first of these that is there and is no empty directory.

    Raises:
        NoOutput: none is.
    """
    for path in candidates:
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISDIR(found.st_mode) or any(path.iterdir()):
            return path
    raise NoOutput("the handler ended without writing an output")


def check(output: Path, most: int, asks_leases: bool = True) -> None:
    """Make sure that an output is fit to be published: of at most `most` files, each one nobody else's.

    A file that has another name as well (a hard link, to the input perhaps) is replaced by a copy. Whether somebody
    still writes one is asked of the kernel, unless its answer means nothing on this file system (`footing`).

    Raises:
        NoOutput: it is not, with what is wrong in words.
        OSError: a copy could not be made.
    """
    for number, (path, found) in enumerate(_walk(output, 0), 1):
        if number > most:
            raise NoOutput(f"the output has more files than its limit of {most}")
        if stat.S_ISREG(found.st_mode):
            if found.st_nlink > 1:
                _copy_anew(path)
            if asks_leases:
                _refuse_open(path)


def _walk(path: Path, depth: int) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file and directory below `path`, or itself if it is a file; nothing is followed and no file opened."""
    found = path.lstat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        what = next((word for question, word in _KINDS if question(found.st_mode)), "neither file nor directory")
        raise NoOutput(f"the output contains {path.name}, which is {what}" if depth else f"the output is {what}")
    if depth > _DEEPEST:
        raise NoOutput(f"the output has directories {_DEEPEST} deep")
    if depth or stat.S_ISREG(found.st_mode):
        yield path, found
    if stat.S_ISDIR(found.st_mode):
        with os.scandir(path) as listing:
            for inner in listing:
                yield from _walk(Path(inner.path), depth + 1)


def _copy_anew(path: Path) -> None:
    """Made under a name that must not be there yet: a link of that name would lead the copy elsewhere."""
    scratch = path.with_name(f".{os.getpid()}.copy")
    target = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    with path.open("rb") as source, os.fdopen(target, "wb") as copy:
        shutil.copyfileobj(source, copy)
    os.replace(scratch, path)


def _refuse_open(path: Path) -> None:
    """Nobody may still write what is about to be published."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        is_open = kernel.is_open_for_writing(descriptor)
    except OSError:
        is_open = False  # no leases here: the descendants have been ended, that must do
    finally:
        os.close(descriptor)
    if is_open:
        raise NoOutput(f"{path.name} is still open for writing by another process")


def measure(output: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of an output; of a directory, the sum over its files and the hash of its listing.

    The listing is one line a file, `<sha256>  <relative path>`, sorted by path: what `sha256sum` prints.
    """
    if not output.is_dir():
        with output.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return os.fstat(file.fileno()).st_size, digest
    size, listing = 0, hashlib.sha256()
    # Not rglob, which leaves out what can not be listed: the row would vouch for half of the output.
    for path in sorted(path for path, entry in _walk(output, 0) if stat.S_ISREG(entry.st_mode)):
        found, digest = measure(path)
        size += found
        listing.update(f"{digest}  {path.relative_to(output)}\n".encode("utf-8", "surrogateescape"))
    return size, listing.hexdigest()
