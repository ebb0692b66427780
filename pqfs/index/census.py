"""Questions about very many rows at once, and the few writes with which what is wrong in them is put right.

For fsck and for a rebuild: rows come as `Outline`, a thousand at a time, in short transactions, so that neither
memory nor the log grows with the index.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from pqfs.index import Engine, mark
from pqfs.model import Job, Outline

_TOMORROW = 24 * 60  # minutes: figures further ahead were made by a clock that was wrong


class Census:
    """Looks through one index. Its writes must run inside a transaction of that index."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def after(self, job: str, limit: int) -> list[Outline]:
        """The next rows in order of id."""
        return list(map(Outline._make, self._engine.run("outlines_after", {"after": job, "limit": limit})))

    def of(self, jobs: Iterable[str]) -> dict[str, Outline]:
        """The rows of these jobs, by id."""
        rows = self._engine.run("outlines", {"list": json.dumps(sorted(jobs))})
        return {row[0]: Outline._make(row) for row in rows}

    def of_outputs(self, outputs: Iterable[str]) -> dict[str, Outline]:
        """The rows that say that they published these outputs, by the output's name."""
        rows = self._engine.run("outlines_by_output", {"list": json.dumps(list(outputs))})
        return {row[0]: Outline._make(row[1:]) for row in rows}

    def of_tails(self, tails: Iterable[str]) -> dict[str, Outline]:
        """The rows whose ids end so, by these 12 digits. Looks through the whole index: ask for many at once."""
        rows = self._engine.run("outlines_by_tail", {"list": json.dumps(list(tails))})
        return {row[0][-12:]: Outline._make(row) for row in rows}

    def was_deleted(self, tail: str) -> bool:
        """Whether a completed job whose id ends so was deleted, as far as events are kept."""
        return bool(self._engine.run("deletion", {"tail": tail}))

    def miscounts(self) -> list[tuple[str, str, int, int]]:
        """Queue, state, the number that is told and the one that is true, where they differ."""
        return [(row[0], row[1], row[2], row[3]) for row in self._engine.run("miscounts", {})]

    def odd_stats(self, now: float) -> int:
        """How many figures are negative, or of a time to come."""
        return len(self._engine.run("odd_stats", {"limit": int(now // 60) + _TOMORROW}))

    # ---------------------------------------------------------------- writes

    def recount(self) -> None:
        """Count all jobs anew."""
        self._engine.run("forget_counts", {})
        self._engine.run("count_again", {})

    def forget_odd_stats(self, now: float) -> None:
        """Drop the figures that can not be true."""
        self._engine.run("forget_odd_stats", {"limit": int(now // 60) + _TOMORROW})

    def note_gone(self, job: Job) -> bool:
        """Note that the payload of a job that has ended is nowhere; False when its row has changed."""
        row = {"id": job.id, "state": job.state, "attempt": job.attempt}
        return bool(self._engine.run("note_gone", row))

    def note_size(self, job: Job, size: int) -> bool:
        """Note that a waiting payload has another size; False when its row has changed."""
        return bool(self._engine.run("note_size", {"id": job.id, "attempt": job.attempt, "size": size}))

    def believe(self, row: Outline, told: Job) -> bool:
        """Note what the tree tells of a job that has not been completed; False when its row has changed."""
        names = ("id", "state", "place", "arriver", "attempt", "output", "updated_at", "error")
        values = {name: getattr(told, name) for name in names}
        values |= {"confirmed": int(told.confirmed), "from_state": row.state}
        values["fingerprint"] = mark(told.state, told.error)
        return bool(self._engine.run("believe", values))

    def doubt(self, row: Outline) -> bool:
        """Have recovery put a payload where its row says."""
        return bool(self._engine.run("doubt", {"id": row.id, "state": row.state}))
