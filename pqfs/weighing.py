"""How much lies where in a spool, file by file: for pages that may be some seconds old, not for every look.

A walk over 100,000 files takes most of a second. It is bounded, it can be given up, and it never follows a link.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pqfs.model import State
from pqfs.places import DIRECTORIES
from pqfs.tree import DUTIES

MOST = 500_000  # files of one directory that are weighed
_BELOW = ("inbox", "ready", "work", "outbox", "done")  # whose directories are told one by one
_QUIET = frozenset({".gitkeep"})


@dataclass(frozen=True, slots=True)
class Weight:
    """A directory with all that is in it. `oldest_at`: the earliest last change of a file; None without files.

    `is_capped`: there is more than was weighed.
    """

    path: str
    duty: str
    files: int = 0
    bytes: int = 0
    oldest_at: float | None = None
    is_capped: bool = False


@dataclass(frozen=True, slots=True)
class Pairing:
    """What the index says of a place, and what lies there. `least` and `most`: of files that may lie there."""

    place: str
    says: str
    least: int
    most: int
    found: int
    is_capped: bool

    @property
    def fits(self) -> bool:
        """Whether as many files lie there as may: moves that are under way included."""
        return (self.is_capped and self.most >= self.found) or self.least <= self.found <= self.most


def weigh(root: Path, is_over: Callable[[], bool] = lambda: False) -> tuple[Weight, ...]:
    """Every directory of a spool; those inside some of them, too. What is given up counts as capped."""
    found = []
    for name in DIRECTORIES:
        total, parts = Weight(name, DUTIES[name]), []
        for part, files in _split(root, name):
            weight = _weigh(Weight(part or name, ""), files, is_over)
            total = _sum(total, weight)
            parts += [weight] if part else []
        found += [total, *parts]
    return tuple(found)


def _split(root: Path, name: str) -> Iterator[tuple[str, Iterator[os.DirEntry[str]]]]:
    """The directories inside one, where each is of interest; and what lies in it directly."""
    entries = list(_entries(root / name))
    inner = [each for each in entries if name in _BELOW and each.is_dir(follow_symlinks=False) and _is_told(each)]
    for each in sorted(inner, key=lambda entry: entry.name):
        yield f"{name}/{each.name}", _files(_entries(Path(each.path)))
    yield "", _files(each for each in entries if each not in inner)


def _is_told(entry: os.DirEntry[str]) -> bool:
    """Not an output that is a directory: those are many, and no place of their own."""
    return "Z_" not in entry.name


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as listing:
            yield from (each for each in listing if each.name not in _QUIET)
    except OSError:
        return  # gone meanwhile, or closed to us


def _files(entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    for each in entries:
        if each.is_dir(follow_symlinks=False):
            yield from _files(_entries(Path(each.path)))
        else:
            yield each


def _weigh(weight: Weight, files: Iterator[os.DirEntry[str]], is_over: Callable[[], bool]) -> Weight:
    count = total = 0
    oldest: float | None = None
    for each in files:
        if count >= MOST or (count % 1000 == 0 and is_over()):
            return replace(weight, files=count, bytes=total, oldest_at=oldest, is_capped=True)
        try:
            found = each.stat(follow_symlinks=False)
        except OSError:
            continue  # moved on meanwhile
        count, total = count + 1, total + found.st_size
        oldest = found.st_mtime if oldest is None else min(oldest, found.st_mtime)
    return replace(weight, files=count, bytes=total, oldest_at=oldest)


def _sum(one: Weight, other: Weight) -> Weight:
    ages = [each.oldest_at for each in (one, other) if each.oldest_at is not None]
    return replace(
        one, files=one.files + other.files, bytes=one.bytes + other.bytes, oldest_at=min(ages, default=None),
        is_capped=one.is_capped or other.is_capped,
    )  # fmt: skip


def compare(jobs: dict[State, int], weights: Sequence[Weight]) -> tuple[Pairing, ...]:
    """Hold the numbers of the index against those of the tree, place by place.

    It tells that something differs, not what: `fsck` does. Numbers taken while jobs move may differ by those.
    """
    files = {each.path: each for each in weights}
    waiting = jobs.get(State.PENDING, 0) + jobs.get(State.HELD, 0)
    running, completed = jobs.get(State.PROCESSING, 0), jobs.get(State.COMPLETED, 0)
    dead = jobs.get(State.FAILED, 0) + jobs.get(State.UNPROCESSABLE, 0)
    told = (
        ("ready", f"{waiting:,} pending or held, {running:,} leased or running", waiting, waiting + running),
        ("claimed", f"{running:,} leased or running", 0, running),
        ("done", f"{completed:,} completed; their inputs are kept for a while, or not at all", 0, completed),
        ("dead", f"{dead:,} failed or unprocessable", 0, dead),
        ("cancelled", f"{jobs.get(State.CANCELLED, 0):,} cancelled", 0, jobs.get(State.CANCELLED, 0)),
    )
    return tuple(
        Pairing(place, says, least, most, files[place].files, files[place].is_capped)
        for place, says, least, most in told
        if place in files
    )
