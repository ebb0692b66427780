"""What was counted since the index was made: sums that never shrink, whatever is kept of the jobs themselves."""

from __future__ import annotations

from typing import NamedTuple

from pqfs.index import Engine


class Total(NamedTuple):
    """A queue's jobs since the index was made: taken in, completed, failed for good; bytes; seconds of handlers."""

    queue: str
    ingested: int
    completed: int
    failed: int
    bytes: int
    run_seconds: float


class Tallies:
    """The counters of one index."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def totals(self) -> list[Total]:
        """Of every queue that ever had a job."""
        return [Total(*row) for row in self._engine.run("totals", {})]

    def outcomes(self) -> list[tuple[str, str, int]]:
        """Queue, outcome, and how many attempts ended so without completing their job."""
        return [(row[0], row[1], row[2]) for row in self._engine.run("outcomes", {})]
