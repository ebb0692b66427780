"""What lies in a spool out of its owner's reach: files and folders that root, or another user, has left there.

pqfs runs as the owner of its spool. What that user may not read can not be run, and what lies in a folder that he may
not write can never be moved. Left out is where others' files are nothing strange: the ingester says of a file in the
inbox what it waits for, what was rejected is nobody's work any more, and outputs are their readers'.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pqfs.places import DIRECTORIES
from pqfs.settings import Settings

_OTHERS = ("inbox", "rejected", "outbox")
_READ, _WRITE, _ALL = 4, 6, 7
_MOST = 50_000  # entries that are looked at


@dataclass(frozen=True, slots=True)
class User:
    """Somebody whom a machine knows: a name that `chown` takes, and what decides about his rights."""

    name: str
    number: int
    groups: frozenset[int]

    def may(self, status: os.stat_result, what: int) -> bool:
        """Whether he may do this (bits of a mode: 4 read, 2 write, 1 pass) with what has this status."""
        is_members = status.st_gid in self.groups
        shift = 6 if status.st_uid == self.number else 3 if is_members else 0
        return status.st_mode >> shift & what == what


def owner(settings: Settings) -> User:
    """Whose spool it is.

    Raises:
        OSError: there is none.
    """
    status = os.lstat(settings.spool / "ready")
    try:
        found = pwd.getpwuid(status.st_uid)
    except KeyError:
        return User(str(status.st_uid), status.st_uid, frozenset({status.st_gid}))
    return User(found.pw_name, found.pw_uid, frozenset(os.getgrouplist(found.pw_name, found.pw_gid)))


def out_of_reach(settings: Settings, user: User) -> list[Path]:
    """What others have left that this user can not work with; of a large spool not all is looked at."""
    if user.number == 0:
        return []
    looked_at = islice(_entries(settings), _MOST)
    return [path for path, status, what in looked_at if status.st_uid != user.number and not user.may(status, what)]


def _entries(settings: Settings) -> Iterator[tuple[Path, os.stat_result, int]]:
    """Each entry, with what its owner must be allowed to do with it."""
    for name in ("", "-wal", "-shm"):
        yield from _entry(settings.index_file.with_name(f"{settings.index_file.name}{name}"), _WRITE)
    for name in DIRECTORIES:
        if name not in _OTHERS:
            yield from _below(settings.spool / name, _WRITE if name == "run" else _READ)


def _below(folder: Path, what: int) -> Iterator[tuple[Path, os.stat_result, int]]:
    yield from _entry(folder, _ALL)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, what)
        else:
            yield from _entry(path, what)


def _entry(path: Path, what: int) -> Iterator[tuple[Path, os.stat_result, int]]:
    try:
        status = os.lstat(path)
    except OSError:
        return  # gone meanwhile, or not to be reached at all: its folder is
    if not stat.S_ISLNK(status.st_mode):
        yield path, status, what
