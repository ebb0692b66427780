"""The producer's side: a file delivered into an inbox whole or not at all, and never over another one.

A hidden name in the folder itself, fsync, the sidecar under its name, then one rename that never overwrites, and at
last the folder's entries made durable. Nothing here needs rights on the spool beyond its inbox, not even the right
to list that; nothing of the index is touched or imported. `pqfs.drop` is this for programs, `pqfs drop` for people.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pqfs import kernel
from pqfs.clock import SystemClock
from pqfs.errors import Refused, TimedOut
from pqfs.model import DEFAULT_QUEUE
from pqfs.naming import disk_name, id_time

_BLOCK = 1 << 20
_SIDECAR = ".job.json"
_MANIFEST = b".manifest.json"
_READABLE = 0o644  # the ingester may be another user
ENDS = frozenset({"completed", "failed", "unprocessable", "cancelled", "rejected", "duplicate"})
_ASK_EVERY = 0.05  # seconds
_MILLISECOND = 0.001  # the precision of the instant in a job id
_PATH_ONLY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file that was delivered: its path in the inbox, its bytes, and their SHA-256 where that was asked for.

    `at`: Unix seconds before it got its name. `receipt`: where its queue answers, if it keeps receipts.
    """

    path: Path
    size: int
    sha256: str | None
    at: float
    receipt: Path

    def answer(self) -> dict[str, Any] | None:
        """What the receipt of this file says now; None before there is one.

        There is one receipt for each name: it is this file's if it is of a job that is younger than the drop.
        """
        try:
            found = json.loads(self.receipt.read_bytes())
        except FileNotFoundError:
            return None
        return found if id_time(str(found["job"])) >= self.at - _MILLISECOND else None

    def wait(self, timeout: float = math.inf) -> dict[str, Any]:
        """Wait until the receipt says how it ended: its `state` is one of ENDS.

        Raises:
            TimedOut: it had not after so many seconds, or its queue keeps no receipts.
        """
        deadline = time.monotonic() + timeout
        while (found := self.answer()) is None or found["state"] not in ENDS:
            if time.monotonic() >= deadline:
                state = found["state"] if found else "without a receipt"
                raise TimedOut(f"{self.path.name} is {state}.", "Does its queue keep receipts? See: pqfs why NAME")
            time.sleep(_ASK_EVERY)
        return found


def drop(
    file: str | os.PathLike[str], spool: str | os.PathLike[str] = "spool", *, queue: str = DEFAULT_QUEUE,
    name: str | None = None, key: str | None = None, checksum: bool = False, asked: Mapping[str, Any] | None = None,
) -> Dropped:  # fmt: skip
    """Copy a file into a spool's inbox; once this returns it is there whole, and survives a loss of power.

    Args:
        file: what to copy; it stays where it is.
        spool: the spool's folder.
        queue: whose inbox it is for.
        name: what the job is called; the file's own name if not given.
        key: an idempotency key; the queue's `duplicates` says what a second file of the same one means.
        checksum: let ingestion compare the SHA-256 of what was read here, and refuse the file if it differs.
        asked: what else its sidecar says: `priority`, `delay`, `timeout`, `metadata` … (`pqfs schema sidecar`).

    Raises:
        Refused: a file of this name still waits there, the name can not be taken, or there is no such inbox.
        OSError: the file can not be read, or the inbox not be written.
    """
    folder = inbox(Path(spool), queue)
    wishes = {**(asked or {}), **({} if key is None else {"key": key})}
    with open(file, "rb") as source:
        return deliver(folder, os.fsencode(name or Path(file).name), source, wishes, checksum)


def drop_set(
    name: str, files: Sequence[str | os.PathLike[str]], spool: str | os.PathLike[str] = "spool", *,
    queue: str = DEFAULT_QUEUE, key: str | None = None, checksum: bool = False,
    asked: Mapping[str, Any] | None = None,
) -> Dropped:  # fmt: skip
    """Copy files that belong together into the inbox of a queue that takes sets; errors as `drop`.

    The manifest comes last: before it is there, nothing is taken. Returns the manifest's path, the bytes of all
    files, and where the receipt of the set is written.
    """
    wishes = {**(asked or {}), **({} if key is None else {"key": key})}
    return deliver_set(inbox(Path(spool), queue), name, [Path(file) for file in files], wishes, checksum)


def deliver_set(
    folder: Path, name: str, files: Sequence[Path], asked: Mapping[str, Any], checksum: bool = False,
    progress: Callable[[int], None] = lambda count: None,
) -> Dropped:  # fmt: skip
    """See `drop_set`."""
    lead, members = os.fsencode(name) + _MANIFEST, [os.fsencode(file.name) for file in files]
    _check_set(folder, lead, members)
    with _Landing(folder) as landing:
        hidden, told = list[_Hidden](), list[dict[str, Any]]()
        for file in files:
            digest = hashlib.sha256() if checksum else None
            with file.open("rb") as source:
                hidden.append(landing.write(_blocks(source, digest), progress))
            told.append({"name": file.name, **({"sha256": digest.hexdigest()} if digest else {})})
        manifest = landing.write(iter([json.dumps({"members": told, **asked}).encode()]))
        at = SystemClock().now()
        landing.show_all(dict(zip([*members, lead], [*hidden, manifest], strict=True)))
        landing.keep(manifest)
    receipt = receipt_of(folder, os.fsencode(name) + b".tar")
    return Dropped(folder / os.fsdecode(lead), sum(each.size for each in hidden), None, at, receipt)


def _check_set(folder: Path, lead: bytes, members: Sequence[bytes]) -> None:
    """Refuse what no manifest could say, and what is not to be written over."""
    if not folder.is_dir():
        raise Refused(f"There is no inbox {folder}.", "Make it: pqfs init, or pqfs queue create.")
    if len(set(members)) != len(members):
        raise Refused("Two files of one set have the same name.")
    for name in (*members, lead):
        _check_name(name)
        if name in members and name.endswith(_MANIFEST):
            raise Refused(f"{os.fsdecode(name)!r} is the name of a manifest.")
        if os.path.lexists(folder / os.fsdecode(name)):
            raise _still_waits(folder / os.fsdecode(name))


def receipt_of(folder: Path, name: bytes) -> Path:
    """Where the receipt of a file that is dropped into this inbox is written."""
    spool, _, queue = str(folder).rpartition("/inbox")
    return Path(f"{spool}/receipts{queue}") / f"{disk_name(name)}.json"


def inbox(spool: Path, queue: str) -> Path:
    """The folder into which a queue's files are dropped."""
    return spool / "inbox" if queue == DEFAULT_QUEUE else spool / "inbox" / queue


def deliver(
    folder: Path, name: bytes, source: IO[bytes], asked: Mapping[str, Any], checksum: bool = False,
    progress: Callable[[int], None] = lambda count: None,
) -> Dropped:  # fmt: skip
    """Copy what is open into an inbox under this name, with a sidecar where anything is asked for. See `drop`."""
    target = folder / os.fsdecode(name)
    _check_name(name)
    if not folder.is_dir():
        raise Refused(f"There is no inbox {folder}.", "Make it: pqfs init, or pqfs queue create.")
    with _Landing(folder) as landing:
        if os.path.lexists(target):
            raise _still_waits(target)
        digest = hashlib.sha256() if checksum else None
        payload = landing.write(_blocks(source, digest), progress)
        sha256 = digest.hexdigest() if digest else None
        wishes = {**asked, **({} if sha256 is None else {"sha256": sha256})}
        beside = name + _SIDECAR.encode()
        if wishes:
            landing.show(landing.write(iter([json.dumps(wishes).encode()])), beside)
        at = SystemClock().now()
        try:
            landing.show(payload, name)
        except FileExistsError as error:
            if wishes:
                landing.take_back(beside)
            raise _still_waits(target) from error
        landing.keep(payload)
    return Dropped(target, payload.size, sha256, at, receipt_of(folder, name))


def _check_name(name: bytes) -> None:
    """Refuse what could not lie in an inbox, and what would wait there for ever, or be taken for something else."""
    from pqfs.inbox import says_not_yet  # not needed by who only imports pqfs

    shown = os.fsdecode(name)
    if not name or b"/" in name or b"\0" in name or name in (b".", b".."):
        raise Refused(f"{shown!r} can not be a file's name in the inbox.")
    if says_not_yet(shown):
        raise Refused(f"{shown!r} is a name of a file that is not complete yet: it would wait for ever.")
    if shown.endswith(_SIDECAR):
        raise Refused(f"{shown!r} is the name of a sidecar: say what is asked with the file that it is for.")


def _still_waits(target: Path) -> Refused:
    return Refused(f"{target} still waits in the inbox.", "Try again when it has been taken, or use another name.")


def _blocks(source: IO[bytes], digest: hashlib._Hash | None) -> Iterator[bytes]:
    while block := source.read(_BLOCK):
        if digest is not None:
            digest.update(block)
        yield block


@dataclass(slots=True)
class _Hidden:
    """A file under its hidden name. `descriptor` reads it, whatever it is called by now."""

    name: bytes
    size: int
    descriptor: int


@dataclass(slots=True)
class _Landing:
    """One delivery into one folder. What it has not shown is removed at its end."""

    folder: Path
    _directory: int = -1
    _hidden: set[bytes] = field(default_factory=set)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> _Landing:
        self._directory = os.open(self.folder, _PATH_ONLY)
        self._stack.callback(os.close, self._directory)
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._hidden:
            try:
                os.unlink(name, dir_fd=self._directory)
            except FileNotFoundError:
                pass
        self._stack.close()

    def write(self, blocks: Iterator[bytes], progress: Callable[[int], None] = lambda count: None) -> _Hidden:
        """Write a hidden file, durable when this returns."""
        name = f".drop.{os.getpid()}.{os.urandom(4).hex()}.tmp".encode()
        size = 0
        with _new(name, self._directory) as copy:
            self._hidden.add(name)
            for block in blocks:
                copy.write(block)
                size += len(block)
                progress(len(block))
            copy.flush()
            os.fchmod(copy.fileno(), _READABLE)
            os.fsync(copy.fileno())
        # Open for reading only from here on: a descriptor that may write would keep the ingester waiting.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        self._stack.callback(os.close, descriptor)
        return _Hidden(name, size, descriptor)

    def show(self, hidden: _Hidden, name: bytes) -> None:
        """Give it its name; FileExistsError where that is taken."""
        try:
            kernel.rename_noreplace(self._directory, hidden.name, self._directory, name)
        except OSError as error:
            if self._has_name(hidden, name):
                return  # whatever was answered (NFS); a hidden name that is left goes at the end
            if not isinstance(error, FileExistsError) or not name.endswith(_SIDECAR.encode()):
                raise
            raise _still_waits(self.folder / os.fsdecode(name)) from error
        self._hidden.discard(hidden.name)

    def show_all(self, named: Mapping[bytes, _Hidden]) -> None:
        """Give each its name, in this order, or none: Refused where one is taken."""
        shown = list[bytes]()
        for name, hidden in named.items():
            try:
                self.show(hidden, name)
            except FileExistsError as error:
                for before in shown:
                    self.take_back(before)
                raise _still_waits(self.folder / os.fsdecode(name)) from error
            shown.append(name)

    def _has_name(self, hidden: _Hidden, name: bytes) -> bool:
        """Whether a file has its name, or had it: nobody but us takes the hidden one away."""
        ours = os.fstat(hidden.descriptor)
        here, there = (self._status(each) for each in (hidden.name, name))
        return here is None or (there is not None and os.path.samestat(ours, there))

    def _status(self, name: bytes) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def take_back(self, name: bytes) -> None:
        """Remove what could not be followed by what belongs to it; it may have been taken for another's by now."""
        try:
            os.unlink(name, dir_fd=self._directory)
        except FileNotFoundError:
            pass

    def keep(self, payload: _Hidden) -> None:
        """Make the names durable. Who may not list the folder can not sync it: then its whole file system."""
        try:
            directory = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:
            kernel.syncfs(payload.descriptor)
            return
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextmanager
def _new(name: bytes, directory: int) -> Iterator[IO[bytes]]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=directory), "wb") as file:
        yield file
