"""What the last hours were like, and when the backlog is worked off if the next minutes are like the last."""

from __future__ import annotations

from dataclasses import dataclass

from pqfs.index import Index

_MINUTE = 60.0
_BASIS = 600.0  # seconds of the past that a forecast rests on


@dataclass(frozen=True, slots=True)
class Point:
    """What happened in `seconds` from the instant `at`: jobs taken in, completed and failed for good, bytes taken in.

    `run_seconds`: for how long handlers have run, all together.
    """

    at: float
    seconds: float
    ingested: int = 0
    completed: int = 0
    failed: int = 0
    bytes: int = 0
    run_seconds: float = 0.0

    @property
    def mean_run(self) -> float | None:
        """Seconds that a job that ended has run, on average; None when none has."""
        ended = self.completed + self.failed
        return self.run_seconds / ended if ended else None


@dataclass(frozen=True, slots=True)
class Forecast:
    """Whether and when nothing waits any more. `seconds` None: never, at this pace; `sentence` says it in words."""

    waiting: int
    seconds: float | None
    sentence: str


def trend(index: Index, now: float, period: float, points: int = 60) -> tuple[Point, ...]:
    """The last `period` seconds as so many points of whole minutes, oldest first; those without any job included."""
    width = max(1, round(period / _MINUTE / points))  # minutes
    last = int(now // _MINUTE) // width
    first = last - points + 1
    found = {slot: Point(slot * width * _MINUTE, width * _MINUTE) for slot in range(first, last + 1)}
    for minute, *figures in index.stats(first * width * _MINUTE):
        if (slot := int(minute) // width) in found:
            found[slot] = _added(found[slot], figures)
    return tuple(found.values())


def _added(point: Point, figures: list[int]) -> Point:
    ingested, completed, failed, size, run_seconds = figures
    return Point(
        point.at, point.seconds, point.ingested + ingested, point.completed + completed, point.failed + failed,
        point.bytes + size, point.run_seconds + run_seconds,
    )  # fmt: skip


def forecast(index: Index, waiting: int, now: float) -> Forecast:
    """When the jobs that wait now are worked off, by what came and went in the last ten minutes."""
    if not waiting:
        return Forecast(0, 0.0, "Nothing waits.")
    rows = index.stats(now - _BASIS)
    gone, come = (sum(row[2] + row[3] for row in rows), sum(row[1] for row in rows))
    if not gone:
        return Forecast(waiting, None, "No job has ended in the last ten minutes.")
    if gone <= come:
        return Forecast(waiting, None, "As much comes as goes: at this pace the backlog does not shrink.")
    seconds = waiting / ((gone - come) / _BASIS)
    return Forecast(waiting, seconds, "At the pace of the last ten minutes.")
