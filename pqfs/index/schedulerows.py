"""The rows of schedules: which due time of each has been seen to, and what became of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from pqfs.index import Engine, Index
from pqfs.naming import note_path, schedule_path


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule's row. `done_at`: the last due time that was seen to; `ran_at` and `job`: of its last job.

    `next_at`: when there is something to do next; None: never. `trouble`: why the last due time brought no job.
    """

    name: str
    wish: str
    created_at: float
    paused_at: float | None
    done_at: float
    next_at: float | None
    ran_at: float | None = None
    job: str | None = None
    trouble: str | None = None

    @property
    def wishes(self) -> dict[str, Any]:
        """What is wanted of it."""
        found: dict[str, Any] = json.loads(self.wish)
        return found


class ScheduleRows:
    """The schedules of one index. Write verbs must run inside its `transaction()`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[Schedule]:
        """Every schedule, by name."""
        return [Schedule(*row) for row in self._engine.run("schedules", {})]

    def find(self, name: str) -> Schedule | None:
        """One of them."""
        rows = self._engine.run("schedule", {"name": name})
        return Schedule(*rows[0]) if rows else None

    def create(self, schedule: Schedule) -> bool:
        """Make one. False: there is one of this name."""
        return bool(self._engine.run("create_schedule", _wanted(schedule) | {"created_at": schedule.created_at}))

    def wish(self, schedule: Schedule) -> bool:
        """Record what is wanted of it, and up to when it has been seen to. False: it is gone."""
        return bool(self._engine.run("wish_schedule", _wanted(schedule)))

    def ran(self, name: str, at: float, job: str) -> bool:
        """Note the job of a due time, in the transaction that makes it. False: it has been seen to already."""
        return bool(self._engine.run("schedule_ran", {"name": name, "at": at, "job": job}))

    def was_run(self, name: str, at: float, job: str) -> bool:
        """Note a job that a person asked for."""
        return bool(self._engine.run("schedule_was_run", {"name": name, "at": at, "job": job}))

    def missed(self, name: str, at: float, trouble: str) -> bool:
        """Note that a due time brings no job, and why. False: it has been seen to already."""
        return bool(self._engine.run("schedule_missed", {"name": name, "at": at, "trouble": trouble}))

    def delete(self, name: str) -> bool:
        """Forget one. False: it is gone already."""
        return bool(self._engine.run("delete_schedule", {"name": name}))


def _wanted(schedule: Schedule) -> dict[str, Any]:
    return {name: asdict(schedule)[name] for name in ("name", "wish", "paused_at", "done_at", "next_at")}


def known_notes(index: Index) -> set[str]:
    """The paths of the notes in meta/ that a row explains."""
    schedules = {schedule_path(each.name) for each in ScheduleRows(index.engine).all()}
    return {note_path(queue.name) for queue in index.queues()} | schedules
