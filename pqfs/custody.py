"""Who has the index open for writing; and the marks that tell whose index it is, of when, and whether it is broken.

    run/index.use       locked, shared, by every process that writes to the index; alone, by who makes or checks it
    run/index.barred    what is wrong with the index; nobody opens it while this is there
    .identity           the spool's own name for itself, the era of its index, and who, if anybody, has that open

The era grows each time that the last process closes the index, and every minute while a janitor works; it stands in
the index and in the tree. So an index of another era is a copy, older than the tree or younger, even if it was made
in the midst of a run. `is_open` without an owner says that the last stop was none.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from pqfs import kernel
from pqfs.errors import IndexDamaged, IndexGone, PqfsError, Unavailable
from pqfs.footing import is_shared
from pqfs.index import Index
from pqfs.settings import BESIDE
from pqfs.spool import Spool

IDENTITY = ".identity"
_BARRED = "run/index.barred"


@dataclass(frozen=True, slots=True)
class Identity:
    """What stands in `.identity`. `host`: whose processes have the index open; `moved`: where somebody has put it."""

    spool: str
    era: int
    is_open: bool
    host: str | None = None
    moved: str | None = None

    @classmethod
    def new(cls) -> Identity:
        """A new spool's."""
        return cls(os.urandom(16).hex(), 0, False)


def read_identity(spool: Spool) -> Identity | None:
    """The spool's mark; None when it has none, or one that can not be read."""
    try:
        found = json.loads(spool.path(IDENTITY).read_bytes())
        return Identity(
            str(found["spool"]), int(found["era"]), bool(found["open"]), found.get("host"), found.get("moved")
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_identity(spool: Spool, mark: Identity) -> None:
    """Set the spool's mark, durably."""
    told = {
        "schema": "pqfs.identity/1",
        "spool": mark.spool,
        "era": mark.era,
        "open": mark.is_open,
        "host": mark.host,
        "moved": mark.moved,
    }
    scratch = f"{IDENTITY}.{os.uname().nodename}.{os.getpid()}.tmp"  # two hosts may have a process of one number
    spool.replace_small(IDENTITY, scratch, json.dumps(told).encode() + b"\n")


class Relation(Enum):
    """How an index stands to the tree beside it."""

    NEW = "neither has a mark"
    SAME = "of the same moment"
    OLDER = "the index is older than the tree"
    NEWER = "the index is newer than the tree"
    FOREIGN = "the index is another spool's"


def relation(told: Identity | None, found: tuple[str, int] | None, has_log: bool) -> Relation:
    """Hold the mark of the tree (`told`) against that of the index. `has_log`: the index's -wal is there."""
    if told is None:
        return Relation.NEW if found is None else Relation.NEWER
    if found is None:
        return Relation.OLDER
    spool, era = found
    if spool != told.spool:
        return Relation.FOREIGN
    if era == told.era:
        return Relation.OLDER if told.is_open and not has_log else Relation.SAME
    if era == told.era + 1 and told.is_open:
        return Relation.SAME  # the last one was killed between its last commit and its mark
    return Relation.OLDER if era < told.era else Relation.NEWER


def refuse_foreign(spool: Spool, index: Index) -> None:
    """Refuse an index that was made for another spool.

    Raises:
        IndexGone: it was.
    """
    if relation(read_identity(spool), index.identity(), has_log=True) is Relation.FOREIGN:
        raise IndexGone(
            f"The index is another spool's, not that of {spool.root}.",
            "Put this spool's own in its place, or make one from the spool: pqfs index rebuild",
        )


def refuse_exchanged(spool: Spool, index: Index) -> None:
    """Refuse an index that is older than the tree: a copy was put in its place since it was opened.

    Raises:
        IndexGone: it was, or one of another spool.
    """
    told = read_identity(spool)  # first: the index is never behind what the tree has told before
    found = relation(told, index.identity(), has_log=True) if told else Relation.NEW
    if found in (Relation.OLDER, Relation.FOREIGN):
        raise IndexGone(
            f"The index was exchanged while it was open: {found.value}.",
            "It is brought up to date by the next start, once everybody has ended.",
        )


def begin_era(spool: Spool, index: Index) -> None:
    """Have all copies of the index that were made before be older than the tree.

    Raises:
        IndexGone: the index itself is such a copy.
    """
    with index.transaction():
        refuse_exchanged(spool, index)
        era = _next_era(spool, index)
    # Crash here: the index is one era ahead of a tree that is open, which is known for this.
    if era is not None:
        _tell_era(spool, era, is_open=True)


def _next_era(spool: Spool, index: Index) -> int | None:
    """Mark the index as of the era after the tree's; None for a spool that has no mark.

    Never of a later one: where the tree could not be told of the last, it is told of that again.
    """
    mark, marked = read_identity(spool), index.identity()
    if mark is None or marked is None:
        return None
    era = max(mark.era + 1, marked[1])
    index.identify(mark.spool, era)
    return era


def _tell_era(spool: Spool, era: int, is_open: bool) -> None:
    """The same in the tree. Race: another host has begun a later one meanwhile."""
    mark = read_identity(spool)
    if mark and mark.era < era:
        write_identity(spool, replace(mark, era=era, is_open=is_open, host=os.uname().nodename if is_open else None))


def refuse_moved(spool: Spool, place: str) -> None:
    """Refuse to do without the index where somebody has moved it to another place than this.

    Raises:
        IndexGone: somebody has.
    """
    mark = read_identity(spool)
    moved = str(spool.path("index.db")) if mark and mark.moved == BESIDE else mark and mark.moved
    if moved not in (None, place):
        raise IndexGone(
            f"The index of this spool is not at {place}: it was moved to {moved}.",
            "Set its address: index in pqfs.toml, or PQFS_INDEX. If it is gone for good: pqfs index rebuild --fresh",
        )


def forget_move(spool: Spool) -> None:
    """A new index begins, wherever the last one went."""
    mark = read_identity(spool)
    if mark and mark.moved is not None:
        write_identity(spool, replace(mark, moved=None))


def refuse_other_host(spool: Spool, host: str) -> None:
    """Refuse a spool on a share whose index another host has open: an index on SQLite serves one host.

    Raises:
        Unavailable: it has, or it ended without a word.
    """
    mark = read_identity(spool)
    if (
        mark
        and mark.is_open
        and mark.host not in (None, host)
        and is_shared(kernel.file_system(os.fsencode(spool.root)))
    ):
        raise Unavailable(
            f"The host {mark.host} works on this spool, with an index of its own.",
            "An index on SQLite serves one host. If that one is gone for good: pqfs index rebuild",
        )


# -------------------------------------------------------------------- barred


def bar(spool: Spool, reason: PqfsError) -> None:
    """Leave word why nobody may open the index now. What is said already stays."""
    if not spool.exists(_BARRED):
        spool.path(_BARRED).write_text(_word(reason))


def bar_for_now(spool: Spool, reason: PqfsError) -> int:
    """The same for as long as the caller lives and holds this descriptor: the word of who was killed binds nobody."""
    _drop_word_of_the_dead(spool)
    mine, path = spool.path(f"{_BARRED}.{os.getpid()}"), spool.path(_BARRED)
    descriptor = os.open(mine, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # before anybody can see it
    os.write(descriptor, _word(reason).encode())
    with suppress(FileExistsError):
        os.link(mine, path)
    os.unlink(mine)
    return descriptor


def refuse_barred(spool: Spool) -> None:
    """Refuse an index that was found broken, or is just being exchanged.

    Raises:
        IndexGone: with what was left as the reason.
    """
    _drop_word_of_the_dead(spool)
    try:
        message, _, hint = spool.path(_BARRED).read_text().partition("\n")
    except FileNotFoundError:
        return
    if message.startswith(IndexDamaged.LEAD):
        raise IndexDamaged(message.removeprefix(IndexDamaged.LEAD))
    raise IndexGone(message, hint.strip())


def _word(reason: PqfsError) -> str:
    return f"{reason.message}\n{reason.hint}\n"


def _drop_word_of_the_dead(spool: Spool) -> None:
    """Remove what somebody has left who exchanged the index and was killed: each of its steps can be gone on from.

    What is said of damage stays, whoever has said it. Two that look at once leave it to each other, and look again.
    """
    try:
        descriptor = os.open(spool.path(_BARRED), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.read(descriptor, 4096).startswith(IndexDamaged.LEAD.encode()):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), spool.path(_BARRED).stat()):
                spool.remove(_BARRED)
    except (BlockingIOError, FileNotFoundError, PermissionError):
        pass  # he lives, or another one has removed it, or will, who may
    finally:
        os.close(descriptor)


def is_barred(spool: Spool) -> bool:
    """Whether somebody has left such word."""
    return spool.exists(_BARRED)


def unbar(spool: Spool) -> None:
    """The index has been made again, or is sound after all."""
    spool.remove(_BARRED)


# -------------------------------------------------------------------- use


class Custody:
    """One process's part in the use of an index: shared with others, or alone."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        path: Path = spool.path("run/index.use")
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except PermissionError as error:
            raise Unavailable("The index can not be written by this user.") from error

    def enter(self, patience: float) -> bool:
        """Begin to use the index; whether nobody else does, so that it can be looked at: then `share` it.

        Raises:
            Unavailable: somebody makes or checks it, and is not done after `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while not (alone := self._lock(fcntl.LOCK_EX)) and not self._lock(fcntl.LOCK_SH):
            if time.monotonic() >= deadline:
                raise Unavailable(
                    "The index is being made or checked by another process.", "Try again when it is done."
                )
            time.sleep(0.02)
        return alone

    def enter_alone(self, patience: float = 0.0) -> bool:
        """Begin to use the index once nobody else does; False when somebody still does after `patience` seconds."""
        deadline = time.monotonic() + patience
        while not (alone := self._lock(fcntl.LOCK_EX)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return alone

    def share(self) -> None:
        """Let others use it, too."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def leave(self, index: Index) -> None:
        """Close the index. Who is the last begins a new era, so that a copy of today is known for one tomorrow."""
        mark = read_identity(self._spool) if self._lock(fcntl.LOCK_EX) else None
        try:
            if mark and mark.is_open:
                with index.transaction():
                    refuse_exchanged(self._spool, index)
                    era = _next_era(self._spool, index)
                index.close()
                if era is not None:
                    _tell_era(self._spool, era, is_open=False)
        except (PqfsError, OSError):
            pass  # no room, or no index any more: the mark says that it is open, and the next start looks closer
        index.close()
        self.release()

    def release(self) -> None:
        """No longer use it."""
        os.close(self._descriptor)

    def _lock(self, how: int) -> bool:
        try:
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
