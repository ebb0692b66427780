"""The spool's tree as people look at it: each directory, how many files lie in it, and the newest outputs.

Read-only and bounded: counting stops at LIMIT entries, which is then said. A directory that has not changed
since it was counted is not counted again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path

from pqfs.clock import Clock
from pqfs.model import DEFAULT_QUEUE
from pqfs.places import DIRECTORIES, PROBE

LIMIT = 50_000  # entries of one directory that are counted: about 20 ms
_TICK_NS = 100_000_000  # far above the grain of any file system's clock
_NOT_SHOWN = frozenset({".gitkeep", PROBE})
_BRANCHES = 12  # sub-directories shown of one directory

DUTIES = {
    "inbox": "producers drop files here",
    "ready": "accepted, waiting",
    "claimed": "being processed",
    "work": "outputs being written",
    "outbox": "results: one output for each input",
    "done": "inputs of completed jobs",
    "dead": "inputs of failed and unprocessable jobs",
    "cancelled": "inputs of cancelled jobs",
    "rejected": "what could not become a job, with the reason",
    "receipts": "what became of each file, for its producer",
    "meta": "what a payload's path does not tell",
    "run": "locks, bells, sockets",
}


@dataclass(frozen=True, slots=True)
class Branch:
    """One directory. `capped`: there are more files than were counted; `hidden`: sub-directories not listed."""

    path: str
    duty: str
    files: int
    capped: bool
    hidden: int

    @property
    def depth(self) -> int:
        """0 for a directory of the spool, 1 for one inside it."""
        return self.path.count("/")


@dataclass(frozen=True, slots=True)
class Output:
    """A file or directory in the outbox. `at`: Unix seconds of its last change."""

    name: str
    queue: str
    size: int
    at: float


@dataclass(frozen=True, slots=True)
class _Listing:
    changed_ns: int
    files: tuple[str, ...]
    directories: tuple[str, ...]
    capped: bool


class Tree:
    """Looks at one spool again and again. Not for two threads at once."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root, self._clock = root, clock
        self._seen: dict[str, _Listing] = {}

    def branches(self) -> Iterator[Branch]:
        """Every directory of the spool that is there, each followed by those inside it."""
        for name in DIRECTORIES:
            if listing := self._look(name):
                below = listing.directories if name != "outbox" else ()  # an output may be a directory
                queues = self._queues() if name == "outbox" else below
                count = len(listing.files) + len(listing.directories) - len(queues)
                yield Branch(name, DUTIES[name], count, listing.capped, max(0, len(queues) - _BRANCHES))
                yield from self._inside(name, queues[:_BRANCHES])

    def _inside(self, parent: str, names: tuple[str, ...]) -> Iterator[Branch]:
        for name in names:
            if listing := self._look(f"{parent}/{name}"):
                count = len(listing.files) + len(listing.directories)
                yield Branch(f"{parent}/{name}", "", count, listing.capped, 0)

    def newest_outputs(self, count: int) -> list[Output]:
        """The newest outputs of all queues, newest first: their names begin with the time."""
        found = [(name, DEFAULT_QUEUE) for name in self._outputs_in("outbox")]
        for queue in self._queues():
            found += [(name, queue) for name in self._outputs_in(f"outbox/{queue}")]
        return [output for each in nlargest(count, found) if (output := self._output(*each))]

    def _queues(self) -> tuple[str, ...]:
        """Directories of the outbox that are queues: only an output's name begins with the time."""
        listing = self._look("outbox")
        return tuple(name for name in listing.directories if not _is_output(name)) if listing else ()

    def _outputs_in(self, path: str) -> list[str]:
        listing = self._look(path)
        return [name for name in (*listing.files, *listing.directories) if _is_output(name)] if listing else []

    def _output(self, name: str, queue: str) -> Output | None:
        path = self._root / "outbox" / ("" if queue == DEFAULT_QUEUE else queue) / name
        try:
            status = path.lstat()
        except OSError:
            return None  # a reader has taken it
        return Output(name, queue, status.st_size, status.st_mtime)

    def _look(self, relative: str) -> _Listing | None:
        path = self._root / relative
        try:
            changed = path.stat().st_mtime_ns
            if (known := self._seen.get(relative)) and known.changed_ns == changed:
                return known
            listing = self._seen[relative] = _list(path, changed)
        except OSError:
            self._seen.pop(relative, None)
            return None
        if self._clock.now() * 1e9 - changed < _TICK_NS:
            del self._seen[relative]  # Race: another change in the same tick of the clock would go unseen
        return listing


def _list(path: Path, changed_ns: int) -> _Listing:
    files: list[str] = []
    directories: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name in _NOT_SHOWN:
                continue
            (directories if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
            if len(files) + len(directories) >= LIMIT:
                return _Listing(changed_ns, tuple(files), tuple(sorted(directories)), True)
    return _Listing(changed_ns, tuple(files), tuple(sorted(directories)), False)


def _is_output(name: str) -> bool:
    """Whether a name has the form `20261122T043126.123456Z_…`."""
    return len(name) > 23 and name[8] == "T" and name[22:24] == "Z_" and name[:8].isdigit()
