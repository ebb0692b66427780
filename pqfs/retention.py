"""What is no longer kept: counted the way the janitor finds it, removed by nobody here."""

from __future__ import annotations

from dataclasses import dataclass

from pqfs import naming
from pqfs.clock import day
from pqfs.model import State
from pqfs.report import COUNT_LIMIT, Source


@dataclass(frozen=True, slots=True)
class Expired:
    """So much of something is no longer kept; `capped`: counting stopped there."""

    what: str
    count: int
    capped: bool


def expired(source: Source) -> list[Expired]:
    """What the settings (keep.…) no longer keep at this moment."""
    keep, now = source.settings.keep, source.clock.now()
    periods = {
        "completed rows": (State.COMPLETED, keep.seconds("rows")),
        "failed jobs": (State.FAILED, keep.seconds("dead")),
        "unprocessable jobs": (State.UNPROCESSABLE, keep.seconds("dead")),
        "cancelled jobs": (State.CANCELLED, keep.seconds("cancelled")),
    }
    found = [("inputs in done/", _old_inputs(source, now - keep.seconds("done")))]
    for what, (state, period) in periods.items():
        if period != float("inf"):
            found.append((what, len(source.index.ended_before(state, now - period, COUNT_LIMIT))))
    found.append(("rejected files", _old_refusals(source, now - keep.seconds("rejected"))))
    return [Expired(what, count, count >= COUNT_LIMIT) for what, count in found if count]


def _old_inputs(source: Source, before: float) -> int:
    count = 0
    for date in source.spool.entries("done"):
        for name in source.spool.entries(f"done/{date}") if date <= day(max(0.0, before)) else ():
            parked = naming.parse_parked(name)
            job = source.index.job(parked.job) if parked else None
            count += bool(job and job.confirmed and job.state is State.COMPLETED and job.updated_at < before)
            if count >= COUNT_LIMIT:
                return count
    return count


def _old_refusals(source: Source, before: float) -> int:
    names = source.spool.entries("rejected")
    found = (source.spool.status(f"rejected/{name}") for name in names if not name.endswith(".reason.json"))
    return sum(1 for each in found if each and each.st_ctime < before)
