"""Jobs at due times, as people want them: add, pause, resume, remove; and what keeps that through a rebuild.

What is wanted stands in a schedule's row and, durably before that, in `meta/schedule.<name>.json`, both written under
the index's write lock, with the event in the same transaction. `firing` makes the jobs.

`now` is an argument: Unix seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pqfs import naming
from pqfs.clock import iso
from pqfs.errors import Misconfigured, QueueNotFound, Refused, ScheduleNotFound, ScheduleTaken
from pqfs.index import Index
from pqfs.index.schedulerows import Schedule, ScheduleRows
from pqfs.jobqueue import JobQueue
from pqfs.model import DEFAULT_QUEUE, FURTHEST, check_priority
from pqfs.timetable import Timetable

POLICIES = ("skip", "once", "all")
LONGEST_TEXT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wanted of a schedule.

    Either the `file` at an absolute path, read at each due time, or the `text` becomes the payload, under `name`.
    `missed`: what becomes of due times that pass while nobody can see to them: `skip`, `once` for all of them
    together, `all`. A job may start up to `jitter` seconds after its due time.
    """

    cron: str
    zone: str = "UTC"
    file: str | None = None
    text: str | None = None
    name: str | None = None
    queue: str = DEFAULT_QUEUE
    priority: int | None = None
    missed: str = "once"
    jitter: float = 0.0

    @property
    def timetable(self) -> Timetable:
        """When it is due."""
        return Timetable(self.cron, self.zone)

    def check(self, now: float) -> None:
        """Refuse what can not be.

        Raises:
            Misconfigured: what, in words.
        """
        self.timetable.check(now)
        if (self.file is None) == (self.text is None):
            raise Misconfigured("Say a file or --text, one of the two.")
        if self.text is not None and len(self.text.encode("utf-8", "surrogateescape")) > LONGEST_TEXT:
            raise Misconfigured(f"A text has at most {LONGEST_TEXT} bytes.", "Put it into a file.")
        if self.missed not in POLICIES:
            raise Misconfigured(f"--missed is one of {', '.join(POLICIES)}.")
        if not 0.0 <= self.jitter <= FURTHEST:
            raise Misconfigured("A jitter lies between no time and ten years.")
        if self.name is not None and (not self.name or "/" in self.name or self.name in (".", "..")):
            raise Misconfigured(f"{self.name!r} can not be a file's name.")
        try:
            check_priority(self.priority or 0)
        except ValueError as error:
            raise Misconfigured(f"{error}.") from error


def plan_of(wishes: Mapping[str, Any]) -> Plan:
    """A plan as it stands in a row or a note.

    Raises:
        Misconfigured: it makes no sense.
    """
    known = {field.name for field in fields(Plan)}
    try:
        return Plan(**{name: value for name, value in wishes.items() if name in known})
    except TypeError as error:
        raise Misconfigured("What is wanted of this schedule can not be read.") from error


class Schedules:
    """The schedules of one spool, as people steer them."""

    def __init__(self, jobqueue: JobQueue) -> None:
        self._jobqueue = jobqueue
        self._spool = jobqueue.spool
        self._index = jobqueue.index
        self._rows = ScheduleRows(jobqueue.index.engine)

    def find(self, name: str) -> Schedule:
        """A schedule's row.

        Raises:
            ScheduleNotFound: there is none of this name.
        """
        found = self._rows.find(name)
        if found is None:
            raise ScheduleNotFound(name, [each.name for each in self._rows.all()])
        return found

    def add(self, name: str, plan: Plan, actor: str, reason: str | None, now: float) -> Schedule:
        """Make a schedule. Its first due time is the next one.

        Raises:
            Refused: it is there already, or its name can not be one.
            QueueNotFound: there is no such queue.
            Misconfigured: what is wanted can not be.
        """
        _check_name(name)
        plan.check(now)
        queues = sorted(queue.name for queue in self._index.queues())
        if plan.queue not in queues:
            raise QueueNotFound(plan.queue, queues)
        made = Schedule(name, _written(plan), now, None, now, plan.timetable.next(now))
        with self._index.transaction():
            if self._rows.find(name):
                raise ScheduleTaken(
                    f"There is a schedule {name} already.", f"Remove it first: pqfs schedule remove {name}"
                )
            self._spool.write_schedule(name, note_of(made))
            # Crash here: a note without a row; nobody was told. Recovery removes it after an hour.
            self._rows.create(made)
            self._index.add_event(now, actor, "add schedule", reason=reason, after=_told(made))
        return made

    def pause(self, name: str, actor: str, reason: str | None, now: float) -> Schedule:
        """Let its due times pass without a job, until it is resumed.

        Raises:
            ScheduleNotFound: there is no such schedule.
        """
        return self._want(
            name, lambda row: replace(row, paused_at=now, next_at=None), "pause schedule", actor, reason, now
        )

    def resume(self, name: str, actor: str, reason: str | None, now: float) -> Schedule:
        """Go on with the next due time; those that passed meanwhile bring no job.

        Raises:
            ScheduleNotFound: there is no such schedule.
            Refused: it is not paused.
        """

        def resumed(row: Schedule) -> Schedule:
            if row.paused_at is None:
                raise ScheduleTaken(f"Schedule {name} is not paused.")
            done = max(row.done_at, now)
            return replace(row, paused_at=None, done_at=done, next_at=plan_of(row.wishes).timetable.next(done))

        return self._want(name, resumed, "resume schedule", actor, reason, now)

    def remove(self, name: str, actor: str, reason: str | None, now: float) -> None:
        """Forget a schedule: its row, then its note. The jobs that it has made stay.

        Raises:
            ScheduleNotFound: there is no such schedule.
        """
        with self._index.transaction():
            before = self.find(name)
            self._rows.delete(name)
            self._index.add_event(now, actor, "remove schedule", reason=reason, before=_told(before))
        # Crash here: the note of a schedule that is no more; recovery removes it after an hour.
        self._spool.remove(naming.schedule_path(name))

    def _want(
        self, name: str, change: Callable[[Schedule], Schedule], verb: str, actor: str, reason: str | None, now: float
    ) -> Schedule:  # fmt: skip
        with self._index.transaction():
            before = self.find(name)
            after = change(before)
            self.keep(after)
            self._index.add_event(now, actor, verb, reason=reason, before=_told(before), after=_told(after))
        return after

    def keep(self, schedule: Schedule) -> None:
        """Write its note, then its row. Inside a transaction."""
        self._spool.write_schedule(schedule.name, note_of(schedule))
        # Crash here: the note says what the row does not; nobody was told, and only a rebuild would notice.
        self._rows.wish(schedule)

    # ---------------------------------------------------------------- rebuild

    def restore(self, now: float, believe: bool = False) -> int:
        """Make the rows again that only the notes tell of; with `believe` the notes also where a row differs.

        Up to when it has been seen to is what the later of the two says. How many rows were made or changed.
        """
        restored = 0
        for entry, _ in list(self._spool.listing("meta")):
            name = naming.parse_schedule(entry)
            told = _from_note(name, self._spool.read_schedule(name), now) if name else None
            if told is None:
                continue
            with self._index.transaction():
                if self._rows.create(told):
                    restored += 1
                elif believe:
                    done = max(told.done_at, self.find(told.name).done_at)
                    restored += self._rows.wish(replace(told, done_at=done))
        return restored


def listed(index: Index) -> list[dict[str, Any]]:
    """Every schedule as listings tell it: when it is due next, when it was last, and what became of that."""
    return [told_of(index, row) for row in ScheduleRows(index.engine).all()]


def told_of(index: Index, row: Schedule) -> dict[str, Any]:
    """One schedule, as listings tell it."""
    plan = plan_of(row.wishes)
    job = index.job(row.job) if row.job else None
    at = {"paused_at": row.paused_at, "next_at": row.next_at, "last_at": row.ran_at}
    return {
        "name": row.name, "cron": plan.cron, "zone": plan.zone, "file": plan.file, "queue": plan.queue,
        "priority": plan.priority, "missed": plan.missed, "jitter": plan.jitter,
        **{key: None if value is None else iso(value) for key, value in at.items()},
        "job": row.job, "state": str(job.state) if job else None, "output": job.output if job else None,
        "trouble": row.trouble,
    }  # fmt: skip


def note_of(row: Schedule) -> dict[str, Any]:
    """What a schedule's note says."""
    return {"wish": row.wishes, "created_at": row.created_at, "paused_at": row.paused_at, "done_at": row.done_at}


def _from_note(name: str, note: Mapping[str, Any], now: float) -> Schedule | None:
    """A row as its note tells it, to be looked at soon; None of a note that makes no sense."""
    wish, created, paused, done = (note.get(each) for each in ("wish", "created_at", "paused_at", "done_at"))
    if not isinstance(wish, dict) or not isinstance(created, int | float) or not isinstance(done, int | float):
        return None
    try:
        plan_of(wish)
    except Misconfigured:
        return None
    paused_at = float(paused) if isinstance(paused, int | float) else None
    return Schedule(
        name, json.dumps(wish, sort_keys=True), float(created), paused_at, float(done),
        None if paused_at is not None else now,
    )  # fmt: skip


def _written(plan: Plan) -> str:
    return json.dumps({name: value for name, value in asdict(plan).items() if value is not None}, sort_keys=True)


def _told(row: Schedule) -> str:
    """What is wanted of it, as the audit tells it."""
    return json.dumps({"schedule": row.name, **row.wishes, "paused": row.paused_at is not None}, sort_keys=True)


def _check_name(name: str) -> None:
    if not naming.is_queue(name):
        raise Refused(
            f"{name!r} can not name a schedule.",
            "Use 1 to 32 of a-z, 0-9, '-' and '_', beginning with a letter or digit.",
        )
