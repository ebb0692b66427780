"""What each queue is like: its jobs, who serves it, what holds it up. For every surface that lists queues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pqfs.clock import iso
from pqfs.dispatch import why_held_back
from pqfs.model import State
from pqfs.report import ConsumerStatus, QueueStatus, Source, consumers, queue_statuses
from pqfs.terms import wishes_of


@dataclass(frozen=True, slots=True)
class Outlook:
    """A queue. `held_back`: by which of its limits; `consumers`: how many living ones serve it.

    `accepts`: whether it takes files in; `wishes`: what people set over pqfs.toml.
    """

    status: QueueStatus
    held_back: str | None
    consumers: int
    accepts: bool
    priority: int
    wishes: dict[str, Any]

    def troubles(self) -> Iterator[tuple[str, str]]:
        """What holds it up, if anything: in a word, and in a sentence."""
        status = self.status
        if status.paused_at is not None:
            until = "" if status.paused_until is None else f" until {iso(status.paused_until)}"
            why = f": {status.paused_reason}" if status.paused_reason else ""
            yield "paused", f"It is paused by {status.paused_by} since {iso(status.paused_at)}{until}{why}."
        if not self.accepts:
            yield "closed", f"It takes nothing in. Open it: pqfs queue resume {status.name}"
        if self.held_back:
            yield "at its limit", self.held_back
        if not self.consumers and status.jobs.get(State.PENDING):
            yield "unserved", f"No living consumer takes its jobs. Start one: pqfs consume -q {status.name}"


def outlooks(source: Source) -> tuple[Outlook, ...]:
    """Every queue, by name."""
    now, alive = source.clock.now(), [each for each in consumers(source) if each.is_alive]
    rows = {row.name: row for row in source.terms.look()}
    return tuple(
        Outlook(
            each, " ".join(why_held_back(source.index, source.terms, each.name, now)) or None, _serving(alive, each),
            source.terms.queue(each.name).accepts, source.terms.queue(each.name).priority,
            wishes_of(rows[each.name]),
        )
        for each in queue_statuses(source, source.index.counts(), now)
    )  # fmt: skip


def _serving(alive: list[ConsumerStatus], queue: QueueStatus) -> int:
    return sum(each.serves(queue.name) for each in alive)
