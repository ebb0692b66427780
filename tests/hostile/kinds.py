"""Forty and more kinds of object that can lie in an inbox: how each is made, and what must become of it, in words.

`KINDS` lie under the name of a payload, `SIDECARS` under that of a payload's sidecar, `FOLDERS` replace the folder
that a payload lies in. A maker gets the ground and a path; what a stranger goes on holding (a descriptor, a mapping)
is let go by `ground.release()`.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import shutil
import socket
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.hostile.ground import LARGEST, Ground

Maker = Callable[[Ground, Path], None]
ROOT = os.geteuid() == 0
_JOB = "01a3185c-5000-7001-89d8-d555156386ad"


class Fate(Enum):
    """What becomes of an object."""

    JOB = "it becomes a job"
    PARTS = "the files in it become jobs"
    REJECTED = "it goes to rejected/ at once, with the reason"
    GIVEN_UP = "it waits with the reason, and goes to rejected/ when the wait is over"
    WAITS = "it waits with the reason, and becomes a job once its producer lets go"
    STAYS = "it waits with the reason for as long as it is what it is"
    GHOST = "it is the other name of a payload of ours, and is removed"
    IGNORED = "it is left alone: its name says not yet"


@dataclass(frozen=True)
class Kind:
    """One kind: what it is, how it is made, its fate, and words that must stand in the reason."""

    what: str
    make: Maker
    fate: Fate
    reason: str = ""
    root: bool = False  # only root can make it
    name: str = "x"

    @property
    def is_possible(self) -> bool:
        """Whether this user can make one."""
        return ROOT or not self.root


# -------------------------------------------------------------------- makers


def _file(data: bytes = b"stranger", mode: int = 0o644) -> Maker:
    def make(ground: Ground, path: Path) -> None:
        path.write_bytes(data)
        path.chmod(mode)

    return make


def _sparse(size: int) -> Maker:
    def make(ground: Ground, path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


def _link_to(target: str) -> Maker:
    """A symbolic link; `{outside}` and `{inbox}` stand for their paths."""

    def make(ground: Ground, path: Path) -> None:
        path.symlink_to(target.format(outside=ground.outside, inbox=ground.inbox))

    return make


def _twin_of(target: str) -> Maker:
    """A hard link to a file that is there; `{outside}`, `{spool}` stand for their paths."""

    def make(ground: Ground, path: Path) -> None:
        os.link(target.format(outside=ground.outside, spool=ground.root), path)

    return make


def _twin_in_the_inbox(ground: Ground, path: Path) -> None:
    path.write_bytes(b"stranger")
    os.link(path, path.with_name("twin of it.part"))


def _twin_of_a_payload(ground: Ground, path: Path) -> None:
    """As a loss of power leaves it on btrfs: the payload of a job, and its name in the inbox again."""
    os.link(ground.resident(), path)


def _being_written(ground: Ground, path: Path) -> None:
    file = path.open("wb")
    file.write(b"half")
    file.flush()
    ground.releases.append(file.close)


def _mapped(ground: Ground, path: Path) -> None:
    path.write_bytes(b"x" * 4096)
    with path.open("r+b") as file:
        ground.releases.append(mmap.mmap(file.fileno(), 0).close)


def _leased(ground: Ground, path: Path) -> None:
    """Its producer holds a write lease on it: whoever opens it waits for up to 45 seconds."""
    path.write_bytes(b"stranger")
    descriptor = os.open(path, os.O_RDWR)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    ground.releases.append(lambda: os.close(descriptor))


def _locked(ground: Ground, path: Path) -> None:
    path.write_bytes(b"stranger")
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    ground.releases.append(lambda: os.close(descriptor))


def _immutable(flag: int, data: bytes = b"stranger") -> Maker:
    """A file with the attribute i or a of chattr(1): nobody can rename it."""

    def make(ground: Ground, path: Path) -> None:
        path.write_bytes(data)
        descriptor = os.open(path, os.O_RDONLY)
        flags = struct.unpack("i", fcntl.ioctl(descriptor, _GETFLAGS, struct.pack("i", 0)))[0]
        fcntl.ioctl(descriptor, _SETFLAGS, struct.pack("i", flags | flag))

        def release() -> None:
            fcntl.ioctl(descriptor, _SETFLAGS, struct.pack("i", flags))
            os.close(descriptor)

        ground.releases.append(release)

    return make


_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_APPEND_ONLY, _IMMUTABLE = 0x20, 0x10


def _fifo(held: int | None = None) -> Maker:
    def make(ground: Ground, path: Path) -> None:
        os.mkfifo(path)
        if held is not None:
            descriptor = os.open(path, held)
            ground.releases.append(lambda: os.close(descriptor))

    return make


def _socket(ground: Ground, path: Path) -> None:
    """Bound under a short name first: a socket's path has at most 108 bytes."""
    with socket.socket(socket.AF_UNIX) as server:
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{descriptor}/{path.name}")
        finally:
            os.close(descriptor)


def _device(kind: int, major: int, minor: int) -> Maker:
    def make(ground: Ground, path: Path) -> None:
        os.mknod(path, kind | 0o666, os.makedev(major, minor))

    return make


def _folder(*names: str, mode: int = 0o755) -> Maker:
    def make(ground: Ground, path: Path) -> None:
        path.mkdir()
        for name in names:
            (path / name).write_bytes(b"stranger")
        path.chmod(mode)

    return make


def _folder_with(inner: Maker) -> Maker:
    def make(ground: Ground, path: Path) -> None:
        path.mkdir()
        inner(ground, path / "inner")

    return make


def _nest(depth: int) -> Maker:
    """A folder in a folder in a folder …, a file at the end; made from the inside, as no path is so long."""

    def make(ground: Ground, path: Path) -> None:
        outer = path.parent / ".nest"
        outer.mkdir()
        (outer / "file").write_bytes(b"stranger")
        for _ in range(depth - 1):
            above = path.parent / ".above"
            above.mkdir()
            outer.rename(above / "n")
            above.rename(outer)
        outer.rename(path)

    return make


# -------------------------------------------------------------------- under a payload's name

KINDS = (
    Kind("a file", _file(), Fate.JOB),
    Kind("an empty file", _file(b""), Fate.JOB),
    Kind("a sparse file", _sparse(LARGEST), Fate.JOB),
    Kind("a file with every mode bit", _file(mode=0o7777), Fate.JOB),
    Kind("a file that root alone can read", _file(mode=0), Fate.JOB if ROOT else Fate.GIVEN_UP),
    Kind("a file with another's lock", _locked, Fate.JOB),
    Kind("a file larger than its queue takes", _sparse(LARGEST + 1), Fate.REJECTED, "takes at most"),
    Kind("a file that says to be terabytes long", _sparse(2**42), Fate.REJECTED, "takes at most"),
    Kind("a file that is being written", _being_written, Fate.WAITS, "still writing"),
    Kind("a file that is mapped writable", _mapped, Fate.WAITS, "still writing"),
    Kind("a file under its producer's write lease", _leased, Fate.WAITS, "lease"),
    Kind("an immutable file", _immutable(_IMMUTABLE), Fate.WAITS, "can not be moved", root=True),
    Kind("an append-only file", _immutable(_APPEND_ONLY), Fate.WAITS, "can not be moved", root=True),
    Kind("a hard link to a file outside", _twin_of("{outside}/secret"), Fate.GIVEN_UP, "hard link"),
    Kind("a hard link to the index", _twin_of("{spool}/index.db"), Fate.GIVEN_UP, "hard link"),
    Kind("a hard link to another file of the inbox", _twin_in_the_inbox, Fate.GIVEN_UP, "hard link"),
    Kind("a hard link to a payload of ours", _twin_of_a_payload, Fate.GHOST),
    Kind("a link to a file outside", _link_to("{outside}/secret"), Fate.REJECTED, "symbolic link"),
    Kind("a link to a folder outside", _link_to("{outside}/folder"), Fate.REJECTED, "symbolic link"),
    Kind("a link to an empty folder outside", _link_to("{outside}/empty"), Fate.REJECTED, "symbolic link"),
    Kind("a link to a file of the inbox", _link_to("{inbox}/bystander after"), Fate.REJECTED, "symbolic link"),
    Kind("a link to nothing", _link_to("nothing"), Fate.REJECTED, "symbolic link"),
    Kind("a link to itself", _link_to("x"), Fate.REJECTED, "symbolic link"),
    Kind("a link that climbs out", _link_to("../../outside/secret"), Fate.REJECTED, "symbolic link"),
    Kind("a link to a device", _link_to("/dev/zero"), Fate.REJECTED, "symbolic link"),
    Kind("a link to an open descriptor", _link_to("/proc/self/fd/0"), Fate.REJECTED, "symbolic link"),
    Kind("a link of 4,095 bytes", _link_to("a" * 4095), Fate.REJECTED, "symbolic link"),
    Kind("a FIFO", _fifo(), Fate.REJECTED, "named pipe"),
    Kind("a FIFO that somebody reads", _fifo(os.O_RDONLY | os.O_NONBLOCK), Fate.REJECTED, "named pipe"),
    Kind("a FIFO that somebody writes", _fifo(os.O_RDWR), Fate.REJECTED, "named pipe"),
    Kind("a socket", _socket, Fate.REJECTED, "socket"),
    Kind("a character device", _device(stat.S_IFCHR, 1, 5), Fate.REJECTED, "character device", root=True),
    Kind("a terminal", _device(stat.S_IFCHR, 5, 0), Fate.REJECTED, "character device", root=True),
    Kind("a whiteout", _device(stat.S_IFCHR, 0, 0), Fate.REJECTED, "character device", root=True),
    Kind("a block device", _device(stat.S_IFBLK, 7, 0), Fate.REJECTED, "block device", root=True),
    Kind("an empty folder", _folder(), Fate.IGNORED),
    Kind("a folder with files", _folder("a", "b"), Fate.PARTS),
    Kind("a folder that nobody may enter", _folder("a", mode=0), Fate.PARTS if ROOT else Fate.STAYS),
    Kind("a folder with a hidden file", _folder(".a"), Fate.IGNORED),
    Kind("a folder that holds a link", _folder_with(_link_to("{outside}/folder")), Fate.PARTS, "symbolic link"),
    Kind("a folder that holds a FIFO", _folder_with(_fifo()), Fate.PARTS, "named pipe"),
    Kind("folders ten deep", _nest(10), Fate.PARTS),
    Kind("folders 100 deep", _nest(100), Fate.PARTS, "deep"),
    Kind("folders 3,000 deep", _nest(3000), Fate.PARTS, "deep"),
    Kind("a folder named like a job", _folder("a"), Fate.PARTS, name=f"{_JOB}.default.a"),
    Kind("a folder named like a sidecar", _folder("a"), Fate.PARTS, name="other.job.json"),
    Kind("a link in the place of a queue's folder", _link_to("{outside}/folder"), Fate.REJECTED, "link", name="mail"),
    Kind("a file in the place of a queue's folder", _file(), Fate.JOB, name="mail"),
    Kind("a file named like a job", _file(), Fate.JOB, name=f"{_JOB}.default.a"),
    Kind("a file named like a reason", _file(), Fate.JOB, name="d555156386ad.reason.json"),
    Kind("a hidden file", _file(), Fate.IGNORED, name=".x"),
    Kind("a hidden link", _link_to("{outside}/secret"), Fate.IGNORED, name=".y"),
    Kind("a file that is not complete by its name", _file(), Fate.IGNORED, name="x.part"),
)


# -------------------------------------------------------------------- under a sidecar's name


def _json(**fields: object) -> Maker:
    return _file(json.dumps(fields).encode())


def _deep(depth: int) -> Maker:
    return _file(b'{"metadata": {"a": ' + b"[" * depth + b"]" * depth + b"}}")


def _large(ground: Ground, path: Path) -> None:
    """100 MB of JSON, one hole but for its ends."""
    with path.open("wb") as file:
        file.write(b'{"metadata": {"a": "')
        file.truncate(100_000_000)


SIDECARS = (
    Kind("a sidecar", _json(priority=7), Fate.JOB),
    Kind("an empty object", _json(), Fate.JOB),
    Kind("metadata of 60 KB", _json(metadata={"a": "x" * 60_000}), Fate.JOB),
    Kind("an empty sidecar", _file(b""), Fate.REJECTED, "not valid JSON"),
    Kind("no JSON", _file(b"priority = 7"), Fate.REJECTED, "not valid JSON"),
    Kind("bytes that are no UTF-8", _file(b'{"key": "\xff"}'), Fate.REJECTED, "not valid JSON"),
    Kind("half a surrogate pair", _file(b'{"key": "\\ud800"}'), Fate.REJECTED, "not valid JSON"),
    Kind("a NUL in a text", _file(b'{"key": "\\u0000"}'), Fate.JOB),
    Kind("a list", _file(b"[]"), Fate.REJECTED, "invalid"),
    Kind("a bare number", _file(b"7"), Fate.REJECTED, "invalid"),
    Kind("a key twice", _file(b'{"priority": 1, "priority": 9}'), Fate.REJECTED, "twice"),
    Kind("a key twice in metadata", _file(b'{"metadata": {"a": 1, "a": 2}}'), Fate.REJECTED, "twice"),
    Kind("NaN", _file(b'{"metadata": {"a": NaN}}'), Fate.REJECTED, "not a number"),
    Kind("infinity", _file(b'{"metadata": {"a": 1e999}}'), Fate.REJECTED, "not a number"),
    Kind("5,000 digits", _file(b'{"metadata": {"a": ' + b"9" * 5000 + b"}}"), Fate.REJECTED, "digits"),
    Kind("4,000 digits", _file(b'{"metadata": {"a": ' + b"9" * 4000 + b"}}"), Fate.REJECTED, "digits"),
    Kind("metadata 10 deep", _deep(10), Fate.JOB),
    Kind("metadata 100 deep", _deep(100), Fate.REJECTED, "deep"),
    Kind("metadata 900 deep", _deep(900), Fate.REJECTED, "deep"),
    Kind("metadata 30,000 deep", _deep(30_000), Fate.REJECTED, "deep"),
    Kind("100 MB of JSON", _large, Fate.REJECTED, "bytes"),
    Kind("a path that climbs out", _json(path="../../etc/passwd"), Fate.REJECTED, "path"),
    Kind("an output that climbs out", _json(output="../../etc/passwd"), Fate.REJECTED, "output"),
    Kind("a queue that climbs out", _json(queue="../../etc"), Fate.REJECTED, "can not name a queue"),
    Kind("a queue where it may not go", _json(queue="mail"), Fate.REJECTED, "sidecar_queue is off"),
    Kind("a handler", _json(handler={"command": ["sh"]}), Fate.REJECTED, "handler"),
    Kind("a priority beyond all bounds", _json(priority=10**12), Fate.REJECTED, "priority"),
    Kind("a delay beyond all bounds", _json(delay="999999999d"), Fate.REJECTED, "delay"),
    Kind("an instant that is none", _json(not_before="tomorrow"), Fate.REJECTED, "not_before"),
    Kind("a sidecar that is being written", _being_written, Fate.WAITS, "still writing"),
    Kind("a sidecar under a write lease", _leased, Fate.WAITS, "lease"),
    Kind("a link to a sidecar outside", _link_to("{outside}/secret"), Fate.REJECTED, "symbolic link"),
    Kind("a link to a device", _link_to("/dev/zero"), Fate.REJECTED, "symbolic link"),
    Kind("a hard link to a file outside", _twin_of("{outside}/secret"), Fate.GIVEN_UP, "hard link"),
    Kind("a FIFO", _fifo(), Fate.REJECTED, "named pipe"),
    Kind("a FIFO that somebody writes", _fifo(os.O_RDWR), Fate.REJECTED, "named pipe"),
    Kind("a socket", _socket, Fate.REJECTED, "socket"),
    Kind("a device", _device(stat.S_IFCHR, 1, 5), Fate.REJECTED, "character device", root=True),
    Kind("an immutable sidecar", _immutable(_IMMUTABLE, b"{}"), Fate.JOB, root=True),
    Kind("an immutable sidecar that is invalid", _immutable(_IMMUTABLE), Fate.WAITS, root=True),
    Kind("an empty folder", _folder(), Fate.JOB),
    Kind("a folder with a file", _folder("a"), Fate.JOB),
)


# -------------------------------------------------------------------- in the place of a payload's folder


def _remove(ground: Ground, path: Path) -> None:
    shutil.rmtree(path)


def _move_within(ground: Ground, path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def _replace_with(maker: Maker) -> Maker:
    def make(ground: Ground, path: Path) -> None:
        path.rename(path.with_name(".put aside"))
        maker(ground, path)

    return make


def _shut(ground: Ground, path: Path) -> None:
    path.chmod(0)


FOLDERS = (
    Kind("the folder is removed", _remove, Fate.JOB),
    Kind("the folder is moved within the inbox", _move_within, Fate.JOB),
    Kind("the folder is shut", _shut, Fate.JOB),
    Kind("a link to a folder outside", _replace_with(_link_to("{outside}/folder")), Fate.JOB),
    Kind("a link to an empty folder outside", _replace_with(_link_to("{outside}/empty")), Fate.JOB),
    Kind("another folder with a file of that name", _replace_with(_folder("x")), Fate.JOB),
    Kind("a file", _replace_with(_file()), Fate.JOB),
    Kind("a FIFO", _replace_with(_fifo()), Fate.JOB),
    Kind("a socket", _replace_with(_socket), Fate.JOB),
)
