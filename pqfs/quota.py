"""How much of a queue may wait: files (`max_files`), bytes (`max_bytes`), and files in a period (`rate`).

Beyond a quota files stay in the inbox, and are taken in order as room appears; a submit is refused. What waits is
what is pending or held, told by the counts that the index keeps anyway; a period is the running minute, hour or
day (UTC), told by its figures. So a restart forgets nothing. Two that take in at one moment do not see each other,
and may exceed a quota by what one of them takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from pqfs.durations import PERIODS
from pqfs.index import Index
from pqfs.model import State
from pqfs.settings import QueueSettings
from pqfs.terms import Terms

_WAITING = (State.PENDING, State.HELD)


@dataclass(slots=True)
class _Room:
    """What a queue holds, as far as it has quotas."""

    files: int = 0
    bytes: int = 0
    taken: int = 0


class Quotas:
    """The quotas of all queues at one moment, `now`; take a new one for a new look."""

    def __init__(self, index: Index, terms: Terms, now: float) -> None:
        self._index = index
        self._terms = terms
        self._now = now
        self._rooms: dict[str, _Room] = {}
        self._shut: dict[str, str] = {}

    def why_not(self, queue: str, size: int) -> str | None:
        """Why no file of this size may be taken for a queue now, in words; None when it may.

        The first refusal shuts a queue: what comes later must not overtake.
        """
        if queue not in self._shut and self._is_limited(queue) and (reason := self._reason(queue, size)):
            self._shut[queue] = reason
        return self._shut.get(queue)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why files of queues that are shut at this look stay where they are, in words."""
        return tuple(self._shut.values())

    def count(self, queue: str, size: int) -> None:
        """One more file of a queue is on its way in."""
        room = self._room(queue)
        room.files, room.bytes, room.taken = room.files + 1, room.bytes + size, room.taken + 1

    def retry_in(self, queue: str) -> float:
        """Seconds after which it is worth asking again: jobs end at any time, a period when it ends."""
        pace = self._terms.queue(queue).pace()
        if pace is None or self._room(queue).taken < pace[0]:
            return 1.0
        return pace[1] - self._now % pace[1]

    def _is_limited(self, queue: str) -> bool:
        limits = self._terms.queue(queue)
        is_shut = queue in self._terms.unread or not limits.accepts
        return is_shut or (limits.max_files, limits.max_bytes, limits.rate) != (None, None, None)

    def _reason(self, queue: str, size: int) -> str | None:
        limits, room = self._terms.queue(queue), self._room(queue)
        if queue in self._terms.unread:
            return f"queue {queue} stands in a newer pqfs.toml than was read here: pqfs consumers restart"
        if not limits.accepts:
            return f"queue {queue} takes nothing in: it was closed (accepts = false)"
        if limits.max_files is not None and room.files >= limits.max_files:
            return f"queue {queue} has {room.files} files waiting, and max_files is {limits.max_files}"
        if limits.max_bytes is not None and room.bytes + size > limits.max_bytes:
            return f"queue {queue} has {room.bytes} bytes waiting, and max_bytes is {int(limits.max_bytes)}"
        if (pace := limits.pace()) and room.taken >= pace[0]:
            return f"queue {queue} has taken {room.taken} files this {PERIODS[pace[1]]}, and rate is {limits.rate}"
        return None

    def _room(self, queue: str) -> _Room:
        if queue not in self._rooms:
            self._rooms[queue] = self._measure(queue, self._terms.queue(queue))
        return self._rooms[queue]

    def _measure(self, queue: str, limits: QueueSettings) -> _Room:
        """Ask the index, and only for what is limited."""
        room = _Room()
        if limits.max_files is not None:
            room.files = sum(n for name, state, n in self._index.counts() if name == queue and state in _WAITING)
        if limits.max_bytes is not None:
            room.bytes = self._index.waiting_bytes(queue)
        if pace := limits.pace():
            room.taken = self._index.ingested_since(queue, self._now - self._now % pace[1])
        return room
