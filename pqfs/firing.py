"""Makes the jobs of schedules: one for each due time, whoever looks and whatever dies.

The commit that makes the job also notes in the schedule's row that its due time has been seen to; a second arrival
for it, of another janitor or of one that died and was adopted, meets that and is turned away (`duplicates`).
What passed while nobody looked is treated as the schedule says: `skip`, `once`, `all`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import IO

from pqfs import naming
from pqfs.clock import Clock, iso
from pqfs.duplicates import DUE, SCHEDULE
from pqfs.errors import IndexGone, Misconfigured, Refused
from pqfs.events import Word, emit, trouble
from pqfs.index import Act
from pqfs.index.schedulerows import Schedule, ScheduleRows
from pqfs.jobqueue import JobQueue
from pqfs.model import Arrival
from pqfs.schedules import Plan, Schedules, plan_of

LATE = 60.0  # seconds after which a due time that nobody has seen to counts as missed
MOST = 100  # jobs at most that are made up for at once
_ASK_AGAIN = 3600.0  # seconds until a schedule that makes no sense is looked at again
AHEAD = 86400.0  # a due time that was seen to and lies further ahead was seen to by a clock that was wrong


Mark = Mapping[str, str | float]  # the schedule's name, and the due time
Acts = Callable[[Arrival], list[Act]]
Submit = Callable[[JobQueue, Clock, Plan, Mark, float, Acts], list[Arrival]]


class Firing:
    """The janitor's eye on the schedules: one look costs one question while none is due."""

    def __init__(self, jobqueue: JobQueue, clock: Clock, submit: Submit | None = None) -> None:
        self._submit = submit or submitted
        self._jobqueue = jobqueue
        self._index = jobqueue.index
        self._clock = clock
        self._rows = ScheduleRows(jobqueue.index.engine)
        self._schedules = Schedules(jobqueue)
        self.next_at: float | None = None  # the next due time that lies ahead, as of the last look

    def look(self) -> int:
        """See to what is due; how many jobs were made. What fails is tried again at the next look."""
        now, made = self._clock.now(), 0
        schedules = self._rows.all()
        if due := [each for each in schedules if each.paused_at is None and self._is_due(each, now)]:
            made = sum(self._see_to_one(each, now) for each in due)
            schedules = self._rows.all()
        ahead = [each.next_at for each in schedules if each.next_at is not None and each.next_at > now]
        self.next_at = min(ahead, default=None)
        return made

    def _see_to_one(self, schedule: Schedule, now: float) -> int:
        try:
            return self._see_to(schedule, now)
        except IndexGone:
            raise
        except Misconfigured as error:  # its zone is known here no more, or was never meant to be
            self._give_up(schedule, now, error.message, now)
            with self._index.transaction():
                if row := self._rows.find(schedule.name):
                    self._rows.wish(replace(row, next_at=now + _ASK_AGAIN))
            return 0
        except Exception:  # noqa: BLE001 -- one schedule's trouble holds up no other, nor the janitor
            trouble(f"seeing to schedule {schedule.name}")
            return 0

    def _is_due(self, schedule: Schedule, now: float) -> bool:
        return (schedule.next_at is not None and schedule.next_at <= now) or schedule.done_at > now + AHEAD

    def _see_to(self, schedule: Schedule, now: float) -> int:
        plan, done = plan_of(schedule.wishes), schedule.done_at
        if done > now + AHEAD:
            emit(Word.MISSED, schedule=schedule.name, what="the clock was a day or more ahead", seen_to=iso(done))
            done = now
        dues, count = plan.timetable.between(done, now, MOST)
        chosen = _chosen(plan.missed, dues, now)
        made = sum(self._fire(schedule, plan, due, count - len(chosen), now) for due in chosen)
        if dues and not chosen:
            self._give_up(schedule, dues[-1], f"{count} due times passed while nobody looked", now)
        # Crash here: jobs were made, next_at lies in the past; the next look finds their due times seen to.
        self._settle(schedule.name, max([done, *dues]), now)
        return made

    def _settle(self, name: str, done: float, now: float) -> None:
        """Keep up to when it has been seen to, in note and row, and when to look again."""
        with self._index.transaction():
            row = self._rows.find(name)
            if row is not None and row.paused_at is None:
                seen_to = done if row.done_at > now + AHEAD else max(row.done_at, done)
                following = plan_of(row.wishes).timetable.next(max(seen_to, now))
                self._schedules.keep(replace(row, done_at=seen_to, next_at=following))

    def _fire(self, schedule: Schedule, plan: Plan, due: float, passed: int, now: float) -> bool:
        """Make the job of one due time, unless somebody else has."""
        try:
            job = self._make(schedule.name, plan, due, passed)
        except Refused as error:
            self._give_up(schedule, due, error.message, now)
            return False
        if job is not None:
            emit(Word.SCHEDULED, schedule=schedule.name, due=iso(due), job=job, passed=passed or None)
        return job is not None

    def _give_up(self, schedule: Schedule, due: float, why: str, now: float) -> None:
        """A due time brings no job: said in the log, in the row and in the audit, by whoever comes first."""
        with self._index.transaction():
            is_first = self._rows.missed(schedule.name, due, why)
            if is_first:
                self._index.add_event(now, "janitor", "miss", reason=why, after=f"{schedule.name} {iso(due)}")
        if is_first:
            emit(Word.MISSED, schedule=schedule.name, due=iso(due), what=why)

    def _make(self, name: str, plan: Plan, due: float, passed: int) -> str | None:
        """Submit the payload for a due time; the job's id, None when that has been seen to meanwhile."""

        def acts(arrival: Arrival) -> list[Act]:
            why = f"{passed} more due times of {name} have passed while nobody looked, and bring no job"
            return [Act("janitor", "make up", arrival.id, reason=why)] if passed else []

        mark: Mark = {"name": name, "due": due}
        made = self._submit(self._jobqueue, self._clock, plan, mark, _start(name, plan, due), acts)
        return made[0].id if made else None

    def run(self, name: str, actor: str, reason: str | None) -> Arrival:
        """Make a job of a schedule now, as a person wants it; its due times stay as they are.

        Raises:
            ScheduleNotFound: there is no such schedule.
            Refused: its file can not be read, its queue takes nothing.
        """
        plan, now = plan_of(self._schedules.find(name).wishes), self._clock.now()

        def acts(arrival: Arrival) -> list[Act]:
            return [Act(actor, "run schedule", arrival.id, reason=reason, after=name)]

        (arrival,) = self._submit(self._jobqueue, self._clock, plan, {"name": name}, 0.0, acts)
        with self._index.transaction():
            self._rows.was_run(name, now, arrival.id)
        return arrival


def _chosen(policy: str, dues: list[float], now: float) -> list[float]:
    """The due times that bring jobs: those that are not late, and of the late ones what the policy says."""
    if policy == "all":
        return dues
    if policy == "once" and dues and now - dues[0] > LATE:
        return dues[-1:]
    return [due for due in dues if now - due <= LATE]


def _start(name: str, plan: Plan, due: float) -> float:
    """When a job may start: so long after its due time as chance says, the same chance for whoever asks."""
    share = int.from_bytes(sha256(f"{name} {due}".encode()).digest()[:4]) / 2**32
    return due + plan.jitter * share if plan.jitter else 0.0


def submitted(jobqueue: JobQueue, clock: Clock, plan: Plan, mark: Mark, ready_at: float, acts: Acts) -> list[Arrival]:
    """Submit what a plan wants; the job, or nothing when its due time has been seen to meanwhile.

    Raises:
        Refused: its file can not be read, its queue is gone or takes nothing.
    """
    from pqfs.submission import Submitter, Wish  # only when something is due

    if plan.queue not in {queue.name for queue in jobqueue.index.queues()}:
        raise Refused(f"There is no queue {plan.queue} any more.")
    wish = Wish(plan.queue, plan.priority, ready_at, options={SCHEDULE: mark})
    with Submitter(jobqueue, "schedule", clock) as submitter:
        with _payload(plan) as source:
            arrival = submitter.stage(source, _name(plan, str(mark["name"])), wish)
        made = submitter.commit(acts(arrival))
        for twin in submitter.twins:
            if not made and twin.kind != DUE:
                raise Refused(f"{jobqueue.duplicates.reason(twin).capitalize()}.")
        return made


def _name(plan: Plan, schedule: str) -> bytes:
    usual = os.path.basename(plan.file) if plan.file else f"{schedule}.txt"
    return os.fsencode(plan.name or usual)


@contextmanager
def _payload(plan: Plan) -> Iterator[IO[bytes]]:
    if plan.file is None:
        yield io.BytesIO((plan.text or "").encode("utf-8", "surrogateescape"))
        return
    from pqfs.submission import check_source

    check_source(Path(plan.file))
    try:
        file = open(plan.file, "rb")  # noqa: SIM115 -- what goes wrong in the block is not the file's
    except OSError as error:
        raise Refused(f"{naming.printable_path(plan.file)} can not be read: {error.strerror}.") from error
    with file:
        yield file
