"""The audit: who did what, newest first; whether what is told is what was recorded; and what is no longer kept.

The oldest end may be cut by age: the hash of the last event that was removed is kept, so that the rest still fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pqfs.index import Engine
from pqfs.index.chain import link

_CHUNK = 1000
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Record:
    """An event as the audit lists it. `before` and `after` are states, or what was changed, in words."""

    id: int
    at: float
    actor: str
    verb: str
    job: str | None
    queue: str | None
    reason: str | None
    before: str | None
    after: str | None
    hash: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """Which events are asked for; None does not filter. `by` is an actor, or the name behind its colon."""

    by: str | None = None
    verb: str | None = None
    job: str | None = None
    queue: str | None = None
    since: float | None = None
    until: float | None = None

    def row(self) -> dict[str, Any]:
        """As the parameters of the statement."""
        row = asdict(self)
        name = row.pop("by")
        like = None if name is None else "%:" + "".join(f"\\{each}" if each in "\\%_" else each for each in name)
        return {**row, "actor": name, "like": like}


@dataclass(frozen=True, slots=True)
class Chain:
    """Where the chain begins and ends."""

    anchor: int
    anchor_at: float
    anchor_hash: str
    head: int
    head_hash: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What a look along the chain has found. `wrong`: the first event that does not fit, in words; None: all do.

    `older` events were recorded before there was a chain and are not covered. `is_known`: the hash that was asked for
    stands in the chain, or none was asked for.
    """

    events: int
    older: int
    since_at: float | None
    head: str
    wrong: str | None
    event: int | None
    is_known: bool


class Audit:
    """The audit of one index. `forget` must run inside a transaction of that index."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def records(self, question: Question, below: int | None, limit: int) -> list[Record]:
        """Events that fit, newest first, older than the one with the number `below`."""
        row = {**question.row(), "below": below if below is not None else 2**62, "limit": limit}
        return [Record(*each) for each in self._engine.run("list_events", row)]

    def chain(self) -> Chain:
        """Where the chain begins and ends."""
        return Chain(*self._engine.run("chain", {})[0])

    def forget(self, before: float, limit: int) -> int:
        """Cut off the oldest events, those from before an instant, at most `limit`; how many."""
        oldest = self._engine.run("oldest_event", {})
        if not oldest or oldest[0][0] >= before:
            return 0  # as nearly always
        chain, last, count = self.chain(), None, 0
        for record in self._after(0, limit):
            if record.at >= before:
                break
            last, count = record, count + 1
        if last is None:
            return 0
        if last.id > chain.anchor:
            self._engine.run("move_anchor", {"id": last.id, "at": last.at, "hash": last.hash or ""})
        self._engine.run("forget_events", {"last": last.id})
        return count

    def _after(self, number: int, limit: int) -> list[Record]:
        return [Record(*each) for each in self._engine.run("events_after", {"after": number, "limit": limit})]

    # ---------------------------------------------------------------- verification

    def verify(self, known: str | None = None, progress: Callable[[int], None] = lambda count: None) -> Findings:
        """Hold every event against its hash. `known`: a hash that must stand in the chain.

        Others may record meanwhile, and the oldest end may be cut: then it is looked at again.
        """
        for _ in range(_TRIES):
            chain = self.chain()
            found = self._look(chain, known, progress)
            if found.wrong is None or self.chain().anchor == chain.anchor:
                break
        return found

    def _look(self, chain: Chain, known: str | None, progress: Callable[[int], None]) -> Findings:
        number, told, events, since = chain.anchor, chain.anchor_hash, 0, None
        seen = known is None or known == told
        older = self._count_older(chain)
        if older < 0:
            return Findings(0, 0, None, chain.head_hash, _INSERTED, None, seen)
        for record in self._rows(chain):
            events, since = events + 1, since or record.at
            if wrong := _misfit(record, number, told):
                return Findings(events, older, since, chain.head_hash, wrong, record.id, seen)
            number, told = record.id, str(record.hash)
            seen = seen or told == known
            progress(1)
        end = self.chain()
        wrong = _misfit_at_end(number, told, end)
        return Findings(events, older, since, end.head_hash, wrong, number if wrong else None, seen)

    def _rows(self, chain: Chain) -> Iterator[Record]:
        last = chain.anchor
        while rows := self._after(last, _CHUNK):
            yield from rows
            last = rows[-1].id

    def _count_older(self, chain: Chain) -> int:
        """Events from before there was a chain; -1 when there may be none, since what was there has been removed."""
        count = int(self._engine.run("count_older", {"anchor": chain.anchor})[0][0])
        return -1 if count and (chain.anchor_hash or not chain.anchor) else count


_INSERTED = "There are events before the beginning of the chain: they were added by hand."


def _misfit(record: Record, number: int, told: str) -> str | None:
    if record.id != number + 1:
        missing = (
            f"Event {number + 1} is" if record.id == number + 2 else f"Events {number + 1} to {record.id - 1} are"
        )
        return f"{missing} missing."
    if record.hash != link(told, asdict(record)):
        return f"Event {record.id} is not what was recorded, or does not stand in its place."
    return None


def _misfit_at_end(number: int, told: str, end: Chain) -> str | None:
    if number < end.head:
        return f"The newest events, {number + 1} to {end.head}, are missing."
    if number > end.head or told != end.head_hash:
        return f"Event {number} is not where the chain ends: events were added or changed by hand."
    return None
