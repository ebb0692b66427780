"""Which jobs a filter means, in bounded chunks; and dead letters by the fingerprint of their error.

A chunk is read in one short question and starts behind the last id of the one before, so that a filter may mean a
million jobs, some of which change while they are gone through: each is met at most once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from heapq import merge
from itertools import islice
from typing import Any

from pqfs.index import Engine, Index
from pqfs.model import DEAD, Job, State
from pqfs.naming import id_floor, printable

CHUNK = 1000
_LAST = "~"  # sorts behind every id
_SET_ASIDE = frozenset({State.HELD, State.FAILED, State.UNPROCESSABLE, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked of a job; None asks nothing. Instants: of its arrival, and of the last change of its state.

    `name` is a pattern (`*.pdf`) for the printable name, `group` the fingerprint of a dead letter's error.
    """

    states: tuple[State, ...]
    queue: str | None = None
    name: str | None = None
    arrived_since: float | None = None
    arrived_until: float | None = None
    changed_since: float | None = None
    changed_until: float | None = None
    group: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it asks for states and a queue alone, of which the numbers are known."""
        return (self.name, self.group, *self._instants()) == (None,) * 6

    def _instants(self) -> tuple[float | None, ...]:
        return self.arrived_since, self.arrived_until, self.changed_since, self.changed_until

    def row(self) -> dict[str, Any]:
        """As the parameters of the statements."""
        return {
            "queue": self.queue, "fingerprint": self.group,
            "since": self.changed_since, "until": self.changed_until,
            "high": _LAST if self.arrived_until is None else id_floor(self.arrived_until),
        }  # fmt: skip

    def fits(self, job: Job) -> bool:
        """Whether a job's name is meant."""
        return self.name is None or fnmatchcase(printable(job.name), self.name)


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters of one queue with one kind of error: how many, since when, until when, one such error."""

    fingerprint: str
    queue: str
    count: int
    first_at: float
    last_at: float
    error: str | None


class Filters:
    """Questions to one index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._engine: Engine = index.engine

    def jobs(self, wanted: Filter) -> Iterator[Job]:
        """Every job that is meant, state by state in order of arrival, read chunk by chunk."""
        for state in wanted.states:
            last = "" if wanted.arrived_since is None else id_floor(wanted.arrived_since)
            while found := self._chunk(state, wanted, last):
                yield from filter(wanted.fits, found)
                last = found[-1].id

    def _chunk(self, state: State, wanted: Filter, after: str) -> list[Job]:
        name = "select_set_aside" if state in _SET_ASIDE else "select_jobs"
        name = "select_processing" if state is State.PROCESSING else name
        row = {**wanted.row(), "after": after, "limit": CHUNK}
        if state is not State.PROCESSING:
            row["state"] = state
        return self._index.select(name, row)

    def count(self, wanted: Filter, most: int) -> tuple[int, bool]:
        """How many are meant, and whether that is all: counting stops at `most` where it has to look at each."""
        if wanted.is_plain:
            counts = self._index.counts()
            meant = (n for queue, state, n in counts if state in wanted.states and wanted.queue in (None, queue))
            return sum(meant), True
        found = sum(1 for _ in islice(self.jobs(wanted), most + 1))
        return min(found, most), found <= most

    # ---------------------------------------------------------------- dead letters

    def groups(self, queue: str | None, limit: int) -> list[Group]:
        """Dead letters by error and queue, the largest group first."""
        rows = self._engine.run("dead_groups", {"queue": queue, "limit": limit})
        return [Group(*[*row, self._example(row[0], row[1])]) for row in rows]

    def _example(self, fingerprint: str, queue: str) -> str | None:
        error: str | None = self._engine.run("dead_example", {"fingerprint": fingerprint, "queue": queue})[0][0]
        return error

    def queues_of(self, fingerprint: str) -> list[str]:
        """The queues that have dead letters of this group."""
        return [row[0] for row in self._engine.run("dead_queues", {"fingerprint": fingerprint})]

    def dead(self, fingerprint: str, queue: str | None, before: Job | None, limit: int) -> list[Job]:
        """Dead letters of a group, the last that died first; those that died before another one, for pages."""
        row: dict[str, Any] = {"fingerprint": fingerprint, "limit": limit}
        row |= {"at": before.updated_at if before else 1e300, "id": before.id if before else _LAST}
        queues = self.queues_of(fingerprint) if queue is None else [queue]
        found = [self._index.select("dead_of_group", {**row, "queue": each}) for each in queues]
        order = merge(*found, key=lambda job: (job.updated_at, job.id), reverse=True)
        return list(islice(order, limit))

    # ---------------------------------------------------------------- lineage

    def descendants(self, job: str, limit: int = 100) -> list[Job]:
        """The jobs that were made of this one, oldest first."""
        return self._index.select("descendants", {"origin": job, "limit": limit})


def dead(**asked: Any) -> Filter:
    """A filter that means dead letters; the rest as `Filter` takes it."""
    return Filter(tuple(sorted(DEAD)), **asked)
