"""Which jobs are leased next: by priority, within the limits of their queues, and whoever has waited long in time.

A queue that is paused is not claimed from, nor one that only a newer pqfs.toml tells of. `concurrency` bounds its
jobs that are leased or run at once over all consumers, `claim_rate` how many start in the running minute, hour or day
(UTC). Both are asked inside the claim's own transaction, of figures that the index keeps, so they hold exactly while
one writer has the index.

Aging: of each claim at least one job in eight is the longest waiting one of all that are older than their queue's
`aging` and that priority passes over. So nothing starves, and priority costs nobody more than an eighth. Whether
anything is that old is asked only when something is passed over, and then not again before the oldest can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge

from pqfs.durations import PERIODS
from pqfs.index import Candidate, Index
from pqfs.index.queuerows import QueueRows
from pqfs.model import Job
from pqfs.terms import Terms

SHARE = 8  # one claimed job in so many is an old one, where there are any


class Dispatch:
    """Leases jobs for the consumers of one process."""

    def __init__(self, index: Index, terms: Terms) -> None:
        self._index = index
        self._rows = QueueRows(index.engine)
        self._terms = terms
        self._owed = SHARE - 1  # eighths of an old job: the first claim that passes one over takes it
        self._oldest: dict[str, tuple[float, float]] = {}  # asked when, and since when the oldest was due then

    def claim(self, owner: str, subscribed: Sequence[str] | None, limit: int, now: float) -> list[Job]:
        """Lease up to `limit` due jobs of these queues (None: all). Inside a transaction."""
        rooms = self._rooms(owner, subscribed, limit, now)
        self._index.wake_due(now)
        heads = {queue: self._index.claimable(queue, room) for queue, room in rooms.items()}
        mine = self._index.claimable_assigned(owner, list(rooms), limit)
        chosen = _within(_merged([*heads.values(), mine]), rooms, limit)
        if chosen and (old := self._old(heads, rooms, chosen, limit, now)):
            chosen = _within((*old, *chosen), rooms, limit)  # old ones first: they run even if the rest is given back
        jobs = self._index.lease([each.id for each in chosen], owner, now)
        self._count(jobs, rooms, now)
        return jobs

    # ---------------------------------------------------------------- limits

    def _rooms(self, owner: str, subscribed: Sequence[str] | None, limit: int, now: float) -> dict[str, int]:
        """How many jobs may be leased of each queue that may be claimed from."""
        rows = self._terms.look()
        shut = self._terms.shut(now)
        wanted = [row.name for row in rows] if subscribed is None else subscribed
        rooms = {queue: self._room(owner, queue, limit, now) for queue in wanted if queue not in shut}
        return {queue: room for queue, room in rooms.items() if room > 0}

    def _room(self, owner: str, queue: str, limit: int, now: float) -> int:
        """Of a queue whose jobs may not all run at once a consumer leases one, so that none is kept from others."""
        terms = self._terms.queue(queue)
        if terms.concurrency is not None:
            free = terms.concurrency - self._rows.processing().get(queue, 0)
            limit = min(limit, free, 1 - self._rows.leased_by(owner, queue))
        if limit > 0 and (pace := terms.claim_pace()):
            limit = min(limit, pace[0] - self._rows.claimed_since(queue, now - now % pace[1]))
        return limit

    def _count(self, jobs: Sequence[Job], queues: Iterable[str], now: float) -> None:
        for queue in queues:
            if self._terms.queue(queue).claim_rate and (count := sum(job.queue == queue for job in jobs)):
                self._rows.count_claimed(queue, now, count)

    def take_back(self, job: Job) -> None:
        """A leased job is given back before it has started: it has not used up its queue's claim_rate."""
        if self._terms.queue(job.queue).claim_rate:
            self._rows.count_claimed(job.queue, job.updated_at, -1)

    # ---------------------------------------------------------------- age

    def _old(
        self, heads: Mapping[str, list[Candidate]], rooms: Mapping[str, int], chosen: Sequence[Candidate],
        limit: int, now: float,
    ) -> list[Candidate]:  # fmt: skip
        """The share of this claim that belongs to jobs that have waited too long, longest waiting first."""
        is_cut = sum(map(len, heads.values())) > limit
        asked = [queue for queue, head in heads.items() if head and (is_cut or len(head) >= rooms[queue])]
        aged = {queue: levels for queue in asked if (levels := self._aged(queue, now))}
        if not aged:
            return []
        count, self._owed = divmod(self._owed + len(chosen), SHARE)
        youngest = max(each.ready_at for each in chosen)
        taken = Counter((each.queue, each.priority) for each in chosen)
        found = [
            each
            for queue, levels in aged.items()
            for priority in levels[:count]
            if taken[queue, priority] < len(chosen)  # else all that are chosen come before it in its own line
            for each in self._rows.passed_over(queue, priority, taken[queue, priority], count)
            if each.ready_at < youngest and self._is_old(queue, each.ready_at, now)
        ]
        return sorted(found, key=lambda each: (each.ready_at, each.id))[:count]

    def _aged(self, queue: str, now: float) -> list[int]:
        """The priorities of a queue that have old jobs, the oldest first; asked only if there can be any."""
        if queue in self._oldest:
            asked, since = self._oldest[queue]
            if asked <= now and not self._is_old(queue, since, now):
                return []
        levels = self._index.levels(queue)
        self._oldest[queue] = now, min((since for _, since in levels), default=now)
        old = [(since, priority) for priority, since in levels if self._is_old(queue, since, now)]
        return [priority for _, priority in sorted(old)]

    def _is_old(self, queue: str, since: float, now: float) -> bool:
        return now - since >= self._terms.queue(queue).aging


def _order(each: Candidate) -> tuple[int, float, str]:
    return -each.priority, each.ready_at, each.id


def _merged(heads: Sequence[list[Candidate]]) -> Iterable[Candidate]:
    """All of them in the order of claims, in which each of these stands already."""
    filled = [head for head in heads if head]
    return filled[0] if len(filled) == 1 else merge(*filled, key=_order)


def _within(candidates: Iterable[Candidate], rooms: Mapping[str, int], limit: int) -> list[Candidate]:
    """The first `limit` of them, of each queue no more than it has room for."""
    left, found = dict(rooms), list[Candidate]()
    for each in candidates:
        if len(found) == limit:
            break
        if left[each.queue] > 0:
            left[each.queue] -= 1
            found.append(each)
    return found


def why_held_back(index: Index, terms: Terms, queue: str, now: float) -> Iterator[str]:
    """The limits of a queue that keep its jobs waiting just now, in words."""
    rows, limits = QueueRows(index.engine), terms.queue(queue)
    if limits.concurrency is not None and (running := rows.processing().get(queue, 0)) >= limits.concurrency:
        yield f"Queue {queue} runs {running} jobs at once, and its concurrency is {limits.concurrency}."
    if pace := limits.claim_pace():
        started = rows.claimed_since(queue, now - now % pace[1])
        if started >= pace[0]:
            rest = pace[1] - now % pace[1]
            yield (
                f"Queue {queue} has started {started} jobs this {PERIODS[pace[1]]}, and its claim_rate is "
                f"{limits.claim_rate}: the next may start in {rest:.0f} seconds."
            )
