"""Who is to be told what of a job: written in the very transaction that does it, and only where somebody asked.

A queue may keep receipts for its producers and have hooks. For one that has neither, nothing here costs more than a
look at its terms. The courier tells them afterwards, so nobody who waits for an answer can hold up the work. A notice
that is lost with its index is not made again by a rebuild.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pqfs import naming
from pqfs.clock import iso
from pqfs.doorbell import ring
from pqfs.index import Completion, Index
from pqfs.index.notices import RECEIPT
from pqfs.index.notices import Notices as Rows
from pqfs.model import DEAD, DEFAULT_QUEUE, Arrival, Job, State
from pqfs.naming import JobIds
from pqfs.terms import Terms

COURIER = "courier"
SCHEMA = "pqfs.notice/1"
_IN_RECEIPTS = frozenset({"accepted", "duplicate", "rejected", "completed", "dead", "cancelled"})


class Notices:
    """What the verbs note for the courier. All but `ring` must run inside a transaction."""

    def __init__(self, index: Index, terms: Terms, run: Path) -> None:
        self._index = index
        self._rows = Rows(index.engine)
        self._terms = terms
        self._run = run
        self._ids = JobIds()
        self._is_news = False

    def ring(self) -> None:
        """After the commit: wake the courier, if there is anything for it."""
        if self._is_news:
            self._is_news = False
            ring(self._run, COURIER)

    # ---------------------------------------------------------------- arrival

    def accepted(self, arrivals: Iterable[Arrival], now: float) -> None:
        """These files have become jobs."""
        arrivals = list(arrivals)
        wanted = self._wanted({each.queue for each in arrivals})
        for each in arrivals if wanted else ():
            self._note("accepted", each.queue, each.name, now, job=each.id, state="accepted")

    def duplicate(self, arrival: Arrival, earlier: str, now: float) -> None:
        """A file became no job of its own, since it is one more of an earlier one's."""
        self._note("duplicate", arrival.queue, arrival.name, now, job=arrival.id, state="duplicate", earlier=earlier)

    def refusing(
        self, queue: str, name: bytes, job: str, reason: str, now: float, told: bytes | None = None
    ) -> None:  # fmt: skip
        """A file is about to be refused, under the number of this id; in a transaction of its own, if in any.

        What is told names the path in rejected/: before anything lies there, nobody is told. `told`: the name under
        which its producer waits to hear of it, if not its own.
        """
        if self._sinks(queue, "rejected"):
            path = f"rejected/{naming.id12(job)}.{naming.disk_name(name.rpartition(b'/')[2])}"
            with self._index.transaction():
                self._note("rejected", queue, told or name, now, job=job, state="rejected", error=reason, path=path)

    # ---------------------------------------------------------------- ends

    def completed(self, kept: Sequence[Completion], now: float) -> None:
        """These attempts have completed their jobs."""
        wanted = self._wanted({each.job.queue for each in kept})
        for each in kept if wanted else ():
            size, sha256 = each.outcome.output_size, each.outcome.output_sha256
            told = {"output": each.output, "output_size": size, "output_sha256": sha256}
            self._note_job("completed", each.job, State.COMPLETED, now, **told)

    def settled(self, before: Job, after: Job, now: float) -> None:
        """An attempt did not complete its job: it is dead, cancelled, or will be tried again."""
        if after.state in DEAD:
            self._note_job("dead", after, after.state, now, error=after.error)
        elif after.state is State.CANCELLED:
            self._note_job("cancelled", after, after.state, now, error=after.error)
        elif (after.failures, after.crashes) != (before.failures, before.crashes):
            self._note_job("failed", after, after.state, now, error=after.error)

    def alarm(self, rule: str, sentence: str, hint: str, is_over: bool, now: float) -> None:
        """An alarm has begun, or is over."""
        told = {"rule": rule, "sentence": sentence, "hint": hint, "is_over": is_over}
        self._note("health", DEFAULT_QUEUE, rule.encode(), now, **told)

    # ---------------------------------------------------------------- who wants to hear

    def wants_alarms(self) -> bool:
        """Whether a hook of [defaults] is to hear of health."""
        return bool(self._sinks(DEFAULT_QUEUE, "health"))

    def wants(self, queue: str) -> bool:
        """Whether anybody wants to hear anything of a queue."""
        terms = self._terms.queue(queue)
        return terms.receipts or bool(terms.hooks)

    def _wanted(self, queues: Iterable[str]) -> bool:
        return any(self.wants(queue) for queue in queues)

    def _sinks(self, queue: str, kind: str) -> list[str]:
        terms = self._terms.queue(queue)
        sinks = [hook.mark for hook in terms.hooks if kind in hook.on]
        if terms.receipts and kind in _IN_RECEIPTS:
            sinks.append(RECEIPT)
        return list(dict.fromkeys(sinks))

    def _note_job(self, kind: str, job: Job, state: str, now: float, **more: Any) -> None:
        self._note(kind, job.queue, job.name, now, job=job.id, state=state, attempt=job.attempt, **more)

    def _note(self, kind: str, queue: str, name: bytes, now: float, **more: Any) -> None:
        sinks = self._sinks(queue, kind)
        if not sinks:
            return
        told: dict[str, Any] = {
            "schema": SCHEMA,
            "id": self._ids.next(now),
            "event": kind,
            "at": iso(now),
            "queue": queue,
        }
        told |= {"name": naming.printable(name), "job": None} | more
        self._rows.add(sinks, receipt_name(queue, name), kind, told, now)
        self._is_news = True


def receipt_name(queue: str, name: bytes) -> str:
    """Where the receipt of a file lies, below receipts/."""
    return f"{'' if queue == DEFAULT_QUEUE else f'{queue}/'}{naming.disk_name(name)}.json"
