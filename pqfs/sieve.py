"""A quick pass over everything that a spool holds: what needs a careful look, and nothing of what does not.

Rows and names are held against each other a thousand at a time, so that a million take seconds and no memory. What
is passed on may be sound after all, because things move meanwhile; what is not passed on was sound when it was seen.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from pqfs.index.census import Census
from pqfs.model import DEFAULT_QUEUE, Outline, Place, State
from pqfs.naming import is_text, output_id12
from pqfs.spool import Spool

Progress = Callable[[str, int], None]
"""Called with what is looked at (`rows`, `files`, `outputs`) and how many have been so far."""

_CHUNK = 1000
_ID = 36  # characters of a job id, with which every payload's name begins
_WAITING = (State.PENDING, State.HELD)
Each = TypeVar("Each")


def in_chunks(items: Iterable[Each], size: int = _CHUNK) -> Iterator[list[Each]]:
    """The same, some at a time."""
    left = iter(items)
    while chunk := list(islice(left, size)):
        yield chunk


class Sieve:
    """One pass over one spool."""

    def __init__(self, spool: Spool, census: Census, progress: Progress) -> None:
        self._spool = spool
        self._census = census
        self._progress = progress
        self._seen = dict.fromkeys(("rows", "files", "outputs"), 0)

    def _count(self, what: str, number: int) -> None:
        self._seen[what] += number
        self._progress(what, self._seen[what])

    # ---------------------------------------------------------------- rows

    def rows(self) -> Iterator[str]:
        """Jobs that are on the move, or whose payload is not as the row says."""
        last = ""
        while rows := self._census.after(last, _CHUNK):
            yield from (row.id for row in rows if not self._is_at_rest(row))
            last = rows[-1].id
            self._count("rows", len(rows))

    def _is_at_rest(self, row: Outline) -> bool:
        if not row.confirmed:
            return False
        if row.place == Place.GONE:
            return True
        found = self._spool.status(self._spool.payload_path(row))
        is_file = found is not None and stat.S_ISREG(found.st_mode)
        return is_file and (row.state not in _WAITING or (found is not None and found.st_size == row.size))

    # ---------------------------------------------------------------- payloads

    def payloads(self) -> Iterator[str]:
        """Paths below the payload directories at which no row expects a regular file."""
        for directory in self._spool.payload_directories():
            for entries in in_chunks(self._spool.listing(directory)):
                rows = self._census.of({name[:_ID] for name, _ in entries if name[:_ID].isascii()})
                for name, is_file in entries:
                    path = f"{directory}/{name}"
                    if not (is_file and self._is_expected(path, rows.get(name[:_ID]))):
                        yield path
                self._count("files", len(entries))

    def _is_expected(self, path: str, row: Outline | None) -> bool:
        return row is not None and row.place != Place.GONE and self._spool.payload_path(row) == path

    # ---------------------------------------------------------------- outputs

    def outputs(self) -> Iterator[str]:
        """Paths below outbox/ that no completed row of the right queue explains."""
        for queue, directory in self._outboxes():
            for entries in in_chunks(self._spool.listing(directory)):
                rows = self._census.of_outputs(name for name, _ in entries if is_text(name))
                for name, _ in entries:
                    row = rows.get(name)
                    if row.queue != queue if row else not self._is_queue(directory, name):
                        yield f"{directory}/{name}"
                self._count("outputs", len(entries))

    def _outboxes(self) -> Iterator[tuple[str, str]]:
        yield DEFAULT_QUEUE, "outbox"
        for name, is_file in self._spool.listing("outbox"):
            if not is_file and output_id12(name) is None:
                yield name, f"outbox/{name}"

    def _is_queue(self, directory: str, name: str) -> bool:
        """Whether it is the folder of a named queue."""
        if directory != "outbox" or output_id12(name):
            return False
        found = self._spool.status(f"{directory}/{name}")
        return found is not None and stat.S_ISDIR(found.st_mode)

    # ---------------------------------------------------------------- meta files

    def metas(self) -> Iterator[str]:
        """Names in meta/ that are none of a job in the index."""
        for entries in in_chunks(self._spool.listing("meta")):
            rows = self._census.of({name[:_ID] for name, _ in entries if name[:_ID].isascii()})
            yield from (
                name for name, is_file in entries if not (is_file and name[:_ID] in rows and name[_ID:] == ".json")
            )
