"""Where the claimable jobs of each queue begin: so that a claim on PostgreSQL does not wade through what was claimed.

An entry of an index outlives its row's change there, until the server cleans up: 50,000 claims made the next one look
at some hundred pages of dead entries first. So a session remembers the first claimable job that it has seen of a
queue, and begins there the next time. It looks from the beginning when that brings fewer jobs than were asked for,
after anything of its own that may have made an earlier job claimable, and once a second. A higher priority is always
seen. So what another session puts before the head (a job given back, a delay that is over) waits a second longer at
most, and only while there is other work of its queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pqfs.index import Candidate, Row

_TRUSTED = 1.0  # seconds
_EARLIER = frozenset({"insert_job", "restore_job", "settle", "steer", "plan", "assign"})


@dataclass(frozen=True, slots=True)
class _Head:
    first: Candidate
    seen_at: float  # when all of the queue was looked at


class Heads:
    """The heads of all queues, as one session has seen them."""

    def __init__(
        self, statements: Mapping[str, str], run: Callable[[str, Mapping[str, Any]], list[Row]],
        tick: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._statements = statements
        self._run = run
        self._tick = tick
        self._known: dict[str, _Head] = {}

    def claimable(self, queue: str, limit: int) -> list[Row]:
        """What can be claimed next of a queue, up to a limit."""
        head = self._known.get(queue)
        if head and self._tick() - head.seen_at < _TRUSTED:
            rows = self._ask("claimable_from", limit, head.first._asdict())
            if len(rows) == limit:
                self._known[queue] = replace(head, first=Candidate._make(rows[0]))
                return rows
        return self._look(queue, limit)

    def _look(self, queue: str, limit: int) -> list[Row]:
        rows = self._ask("claimable", limit, {"queue": queue})
        self._known.pop(queue, None)
        if rows:
            self._known[queue] = _Head(Candidate._make(rows[0]), self._tick())
        return rows

    def _ask(self, name: str, limit: int, parameters: Mapping[str, Any]) -> list[Row]:
        """Ask with the limit as a number in the statement, the next power of two: so each has one plan for good.

        A limit that comes as a parameter is taken by the server for a tenth of the queue, and it makes a plan anew
        each time, which takes longer than the answer.
        """
        sql = self._statements[name].replace("%(limit)s", str(1 << (limit - 1).bit_length()))
        return self._run(sql, parameters)[:limit]

    def heed(self, name: str, parameters: Iterable[Mapping[str, Any]]) -> None:
        """A statement is run here with these: forget the heads if it may make an earlier job claimable.

        What a consumer does all the time, to confirm where completed jobs are, does not.
        """
        if name in _EARLIER or (name == "confirm" and any(each["state"] == "pending" for each in parameters)):
            self._known.clear()
