"""What is no longer kept: found here for the janitor, who removes it, and for people, who want to know before.

A queue may have periods of its own. Rows stay as long as the inputs that need them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from pqfs import naming
from pqfs.clock import day
from pqfs.index import Index
from pqfs.model import Job, State
from pqfs.report import COUNT_LIMIT, Source
from pqfs.terms import Terms

KEPT_AS = {State.COMPLETED: "rows", State.FAILED: "dead", State.UNPROCESSABLE: "dead", State.CANCELLED: "cancelled"}


@dataclass(frozen=True, slots=True)
class Expired:
    """So much of something is no longer kept; `capped`: counting stopped there."""

    what: str
    count: int
    capped: bool


class InputsKept:
    """How long the inputs of completed jobs are kept, at one moment. They lie in directories by the day."""

    def __init__(self, terms: Terms, now: float) -> None:
        self._now = now
        self._terms = terms
        self._usual = terms.keep_usually("done")
        self._otherwise = terms.keep_otherwise("done")
        self._latest = self._day(min([self._usual, *self._otherwise.values()]))
        self._latest_of = cache(lambda queue: self._day(self._otherwise.get(queue, self._usual)))

    def _day(self, period: float) -> str:
        return day(max(0.0, self._now - period))

    def may_go(self, date: str, queue: str | None = None) -> bool:
        """Whether anything of a day (of a queue, or of any) can be that old."""
        return date <= (self._latest if queue is None else self._latest_of(queue))

    def is_over(self, job: Job) -> bool:
        """Whether this job's input is no longer kept."""
        period = self._otherwise.get(job.queue, self._usual)
        return job.confirmed and job.state is State.COMPLETED and job.updated_at < self._now - period


def outdated(index: Index, terms: Terms, state: State, now: float, limit: int) -> Iterator[Job]:
    """Jobs that have been in a final state for longer than rows of that kind are kept, so many of each period."""
    usual, otherwise = terms.keep_usually(KEPT_AS[state]), terms.keep_otherwise(KEPT_AS[state])
    if usual != float("inf"):
        yield from index.ended_before(state, now - usual, limit, without=otherwise)
    for queue, period in otherwise.items():
        if period != float("inf"):
            yield from index.ended_before(state, now - period, limit, queue=queue)


def expired(source: Source) -> list[Expired]:
    """What the settings (keep.…, and a queue's own) no longer keep at this moment."""
    keep, now = source.settings.keep, source.clock.now()
    source.terms.look()
    found = [("inputs in done/", _old_inputs(source, now))]
    names = {State.COMPLETED: "completed rows"}
    for state in KEPT_AS:
        old = sum(1 for _ in outdated(source.index, source.terms, state, now, COUNT_LIMIT))
        found.append((names.get(state, f"{state} jobs"), min(old, COUNT_LIMIT)))
    found.append(("rejected files", _old_refusals(source, now - keep.seconds("rejected"))))
    return [Expired(what, count, count >= COUNT_LIMIT) for what, count in found if count]


def _old_inputs(source: Source, now: float) -> int:
    kept, count = InputsKept(source.terms, now), 0
    for date in filter(kept.may_go, source.spool.entries("done")):
        for name in source.spool.entries(f"done/{date}"):
            parked = naming.parse_parked(name)
            job = source.index.job(parked.job) if parked and kept.may_go(date, parked.queue) else None
            count += bool(job and kept.is_over(job))
            if count >= COUNT_LIMIT:
                return count
    return count


def _old_refusals(source: Source, before: float) -> int:
    names = source.spool.entries("rejected")
    found = (source.spool.status(f"rejected/{name}") for name in names if not name.endswith(".reason.json"))
    return sum(1 for each in found if each and each.st_ctime < before)
