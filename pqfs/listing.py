"""Pages of jobs for people, newest first: bounded in rows and in time, whatever is asked.

A page goes through the index in windows of rows, from the newest id down, and ends when it is full, when nothing is
left, or when its time is over; then it says how far it came, and the next page goes on from there. So a name that
none of a million jobs has costs each look no more than one that all have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from pqfs.index import Index
from pqfs.index.filters import Filters
from pqfs.model import Job, State
from pqfs.naming import id_floor, id_time, printable

NEWEST = "~"  # sorts behind every id
MOST = 200  # jobs of a page
_WINDOW = 2000  # rows that are looked at between two questions for the time: about 4 ms
_SET_ASIDE = frozenset({State.HELD, State.FAILED, State.UNPROCESSABLE, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a job; None asks nothing. `since` and `until`: of its arrival, Unix seconds.

    `name` is a pattern (`*.pdf`) for the printable name, `group` the fingerprint of a dead letter's error.
    """

    state: State | None = None
    queue: str | None = None
    name: str | None = None
    since: float | None = None
    until: float | None = None
    group: str | None = None

    def fits(self, state: str, queue: str, name: bytes) -> bool:
        """Whether a job is meant, as far as these three tell."""
        return (
            (self.state is None or state == self.state)
            and (self.queue is None or queue == self.queue)
            and (self.name is None or fnmatchcase(printable(name), self.name))
        )

    @property
    def is_counted(self) -> bool:
        """Whether the index knows how many jobs are meant, without looking for them."""
        return (self.name, self.since, self.until, self.group) == (None, None, None, None)


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first (of a group: the last that died first).

    `next`: the id before which the next page begins; None when there are no more. `is_cut`: time was over before the
    page was full; `reached`: all that arrived since this instant (Unix seconds) has been looked at.
    `total`: how many are meant in all, where that is known.
    """

    jobs: tuple[Job, ...]
    next: str | None = None
    is_cut: bool = False
    reached: float | None = None
    total: int | None = None


class _Row(NamedTuple):
    id: str
    state: str
    queue: str
    name: bytes


@dataclass(slots=True)
class _Search:
    found: list[str] = field(default_factory=list)
    last: str | None = None  # the last row that was looked at
    is_whole: bool = False  # nothing is left behind it


class Listing:
    """Pages of one index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def page(
        self, wanted: Wanted, before: str = NEWEST, limit: int = 50, is_over: Callable[[], bool] = lambda: False
    ) -> Page:
        """The jobs before an id. `is_over` is asked between windows; the first one is always looked at."""
        limit = min(limit, MOST)
        total = self._total(wanted)
        if total == 0:
            return Page((), total=0)
        if wanted.group is not None:
            return self._page_of_group(wanted, wanted.group, before, limit, is_over)
        search = self._search(wanted, before, limit, is_over)
        jobs = tuple(job for each in search.found if (job := self._index.job(each)))
        if search.is_whole or search.last is None:
            return Page(jobs, total=total)
        return Page(jobs, search.last, len(search.found) < limit, id_time(search.last), total)

    def _total(self, wanted: Wanted) -> int | None:
        if not wanted.is_counted:
            return None
        counts = self._index.counts()
        return sum(jobs for queue, state, jobs in counts if wanted.fits(state, queue, b""))

    def _search(self, wanted: Wanted, before: str, limit: int, is_over: Callable[[], bool]) -> _Search:
        search = _Search()
        for rows in self._windows(wanted, before):
            for row in rows:
                search.last = row.id
                if wanted.fits(row.state, row.queue, row.name):
                    search.found.append(row.id)
                    if len(search.found) == limit:
                        return search
            if is_over():
                return search
        search.is_whole = True
        return search

    def _windows(self, wanted: Wanted, before: str) -> Iterator[list[_Row]]:
        name, row = _statement(wanted)
        low = "" if wanted.since is None else id_floor(wanted.since)
        high = before if wanted.until is None else min(before, id_floor(wanted.until))
        while True:
            asked = {**row, "before": high, "low": low, "limit": _WINDOW}
            rows = list(map(_Row._make, self._index.engine.run(name, asked)))
            if rows:
                yield rows
            if len(rows) < _WINDOW:
                return
            high = rows[-1].id

    def _page_of_group(
        self, wanted: Wanted, group: str, before: str, limit: int, is_over: Callable[[], bool]
    ) -> Page:
        filters, found = Filters(self._index), list[Job]()
        last = None if before == NEWEST else self._index.job(before)
        while chunk := filters.dead(group, wanted.queue, last, MOST):
            for last in chunk:
                if wanted.fits(last.state, last.queue, last.name) and _arrived_within(last, wanted):
                    found.append(last)
                    if len(found) == limit:
                        return Page(tuple(found), last.id)
            if is_over() and last is not None:
                return Page(tuple(found), last.id, is_cut=True)
        return Page(tuple(found))


def _arrived_within(job: Job, wanted: Wanted) -> bool:
    after = wanted.since is None or job.created_at >= wanted.since
    return after and (wanted.until is None or job.created_at < wanted.until)


def _statement(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """States of which there are few have an index of their own."""
    if wanted.state is State.PROCESSING:
        return "page_processing", {}
    if wanted.state in _SET_ASIDE:
        return "page_set_aside", {"state": wanted.state}
    return "page_jobs", {}
