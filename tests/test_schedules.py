"""Jobs at due times: each once, whoever looks and whatever dies; what is wanted outlives the index."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pqfs import firing
from pqfs.clock import parse_iso
from pqfs.duplicates import SCHEDULE
from pqfs.errors import Misconfigured, QueueNotFound, Refused, ScheduleNotFound
from pqfs.firing import Acts, Firing, Mark, submitted
from pqfs.fsck import check
from pqfs.index import walk
from pqfs.index.audit import Audit, Question
from pqfs.index.schedulerows import Schedule, ScheduleRows
from pqfs.jobqueue import JobQueue
from pqfs.model import Arrival, Job
from pqfs.naming import schedule_path
from pqfs.rebuild import Rebuild
from pqfs.runtime import Stop
from pqfs.schedules import Plan, Schedules, note_of
from pqfs.settings import QueueSettings, Settings
from pqfs.symptoms import LOOK_EVERY
from pqfs.timetable import Timetable
from pqfs.wiring import App
from tests import world
from tests.opened import app_of, die
from tests.shell import Shell
from tests.world import EPOCH, SettableClock, invariants

ANN = "cli:ann"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# -------------------------------------------------------------------- when


def dues(cron: str, zone: str, since: str, count: int) -> list[str]:
    """The first due times after an instant of that zone, as its clocks show them."""
    table, at = Timetable(cron, zone), datetime.fromisoformat(since).replace(tzinfo=ZoneInfo(zone)).timestamp()
    found = []
    for _ in range(count):
        following = table.next(at)
        assert following is not None and following > at
        at = following
        found.append(datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%d %H:%M%z"))
    return found


def test_a_fixed_hour_that_clocks_leave_out_is_due_right_after_it_and_one_that_comes_twice_once() -> None:
    assert dues("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00", 2) == ["28 03:00+0200", "29 02:30+0200"]
    assert dues("30 2 * * *", "Europe/Berlin", "2027-10-30T12:00", 2) == ["31 02:30+0200", "01 02:30+0100"]


def test_what_is_due_every_hour_goes_by_time_that_passes() -> None:
    assert dues("0 * * * *", "Europe/Berlin", "2027-03-28T00:30", 2) == ["28 01:00+0100", "28 03:00+0200"]
    assert dues("0 * * * *", "Europe/Berlin", "2027-10-31T01:30", 3) == [
        "31 02:00+0200", "31 02:00+0100", "31 03:00+0100",
    ]  # fmt: skip


@pytest.mark.parametrize("minutes", range(0, 240, 10))
def test_asked_at_any_moment_the_next_due_time_lies_ahead(minutes: int) -> None:
    """Also inside the hour that comes twice, where the library begins anew with its first time."""
    at = utc("2027-10-30T23:00") + minutes * MINUTE
    for cron in ("30 2 * * *", "*/20 * * * *", "0 1-4 * * *"):
        following = Timetable(cron, "Europe/Berlin").next(at)
        assert following is not None and at < following <= at + DAY + HOUR


def test_the_newest_of_many_due_times_are_told_and_how_many_there_are() -> None:
    newest, count = Timetable("* * * * *").between(EPOCH, EPOCH + 10 * MINUTE, 3)

    assert (newest, count) == ([EPOCH + number * MINUTE for number in (8, 9, 10)], 10)
    assert Timetable("0 * * * *").between(EPOCH, EPOCH + 10_000 * DAY, 1)[0] == [EPOCH + 10_000 * DAY]
    assert Timetable("@yearly").next(utc("2027-05-05T00:00")) == utc("2028-01-01T00:00")


@pytest.mark.parametrize(
    "plan",
    [
        Plan("* * *", text="x"), Plan("61 * * * *", text="x"), Plan("* * * * * *", text="x"), Plan("", text="x"),
        Plan("0 0 30 2 *", text="x"), Plan("@never", text="x"), Plan("* * * * *", "Mars/Base", text="x"),
        Plan("* * * * *", "../etc", text="x"), Plan("* * * * *"), Plan("* * * * *", text="x", file="/x"),
        Plan("* * * * *", text="x" * 70_000), Plan("* * * * *", text="x", missed="perhaps"),
        Plan("* * * * *", text="x", jitter=-1.0), Plan("* * * * *", text="x", jitter=float("inf")),
        Plan("* * * * *", text="x", name="a/b"), Plan("* * * * *", text="x", priority=5000),
    ],
)  # fmt: skip
def test_what_can_not_be_wanted_is_refused(plan: Plan) -> None:
    with pytest.raises(Misconfigured):
        plan.check(EPOCH)


# -------------------------------------------------------------------- one job for each due time


class Desk:
    """A spool with schedules, and somebody who looks after them."""

    def __init__(self, app: App, clock: SettableClock) -> None:
        self.app, self.clock, self.jobqueue, self.index = app, clock, app.jobqueue, app.index
        self.schedules, self.rows = Schedules(app.jobqueue), ScheduleRows(app.index.engine)
        self.firing = Firing(app.jobqueue, clock)

    def add(self, cron: str = "* * * * *", text: str | None = "now", **more: object) -> Schedule:
        plan = replace(Plan(cron, text=text), **more)  # type: ignore[arg-type]
        return self.schedules.add("tick", plan, ANN, "because", self.clock.now())

    def pass_by(self, seconds: float) -> int:
        """Time passes, then somebody looks; how many jobs that made."""
        self.clock.pass_by(seconds)
        return self.firing.look()

    def row(self) -> Schedule:
        return self.schedules.find("tick")

    def jobs(self) -> list[Job]:
        return list(walk(self.index))

    def dues(self) -> list[float]:
        """The due times of the jobs, in minutes since the start."""
        return sorted(((job.options or {})[SCHEDULE]["due"] - EPOCH) / MINUTE for job in self.jobs())

    def told(self) -> list[tuple[str, str | None]]:
        """Verb and reason of what was recorded."""
        found = Audit(self.index.engine).records(Question(), None, 100)
        return [(each.verb, each.reason) for each in reversed(found)]

    def forget(self, job: Job) -> Job:
        """A person fails a job and deletes it."""
        failed = self.jobqueue.job(self.jobqueue.fail(job, ANN, None, self.clock.now()).id)
        assert self.jobqueue.delete(failed, ANN, None, self.clock.now())
        return failed

    def is_well(self) -> None:
        invariants(self.app.spool, self.index)
        assert list(check(self.app)) == []


@pytest.fixture
def desk(jobqueue: JobQueue, clock: SettableClock) -> Desk:
    return Desk(app_of(jobqueue, clock), clock)


def test_each_due_time_brings_one_job_and_is_seen_to_once(desk: Desk) -> None:
    desk.add(priority=7, name="beat.txt")

    assert [desk.pass_by(20.0) for _ in range(9)] == [0, 0, 1, 0, 0, 1, 0, 0, 1]
    assert desk.dues() == [1, 2, 3]
    job = desk.jobs()[-1]
    assert (job.name, job.priority, job.size) == (b"beat.txt", 7, 3)
    assert desk.app.spool.path(desk.app.spool.payload_path(job)).read_text() == "now"
    assert desk.row().next_at == desk.firing.next_at == EPOCH + 4 * MINUTE
    assert (desk.row().job, desk.row().ran_at, desk.row().trouble) == (job.id, EPOCH + 3 * MINUTE, None)
    desk.is_well()


def test_its_file_is_read_anew_at_each_due_time_and_one_that_is_gone_is_told(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("first")
    desk.add(text=None, file=str(file))

    assert desk.pass_by(MINUTE) == 1
    file.write_text("second")
    assert desk.pass_by(MINUTE) == 1
    file.unlink()
    assert desk.pass_by(MINUTE) == 0
    assert "can not be read" in str(desk.row().trouble)
    assert [verb for verb, _ in desk.told()] == ["add schedule", "miss"]
    file.write_text("third")
    assert desk.pass_by(MINUTE) == 1
    assert desk.row().trouble is None
    payloads = [desk.app.spool.path(desk.app.spool.payload_path(job)).read_text() for job in desk.jobs()]
    assert payloads == ["first", "second", "third"]
    desk.is_well()


@pytest.mark.parametrize(("missed", "made"), [("skip", [6]), ("once", [6]), ("all", [1, 2, 3, 4, 5, 6])])
def test_what_passed_while_nobody_looked_is_treated_as_it_says(desk: Desk, missed: str, made: list[int]) -> None:
    """The last one is not late yet."""
    desk.add(missed=missed)

    assert desk.pass_by(6 * MINUTE + 30) == len(made)
    assert desk.dues() == made
    reasons = [str(reason) for verb, reason in desk.told() if verb == "make up"]
    assert [reason.startswith("5 more due times") for reason in reasons] == ([] if missed == "all" else [True])
    assert desk.pass_by(30) == 1, "and it goes on"
    desk.is_well()


def test_of_late_due_times_that_are_to_be_skipped_it_is_told_that_they_were(desk: Desk) -> None:
    desk.add("*/5 * * * *", missed="skip")

    assert desk.pass_by(13 * MINUTE) == 0
    assert desk.row().trouble == "2 due times passed while nobody looked"
    assert [verb for verb, _ in desk.told()] == ["add schedule", "miss"]
    assert desk.pass_by(2 * MINUTE) == 1
    assert desk.row().trouble is None


def test_not_more_than_so_many_are_made_up_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "MOST", 4)
    desk.add(missed="all")

    assert desk.pass_by(12 * MINUTE) == 4
    assert desk.dues() == [9, 10, 11, 12]
    assert next(reason for verb, reason in desk.told() if verb == "make up")
    assert desk.pass_by(1.0) == 0
    desk.is_well()


def test_a_job_with_jitter_waits_for_a_chance_that_is_the_same_for_all(desk: Desk) -> None:
    desk.add(jitter=30.0, missed="all")

    desk.pass_by(5 * MINUTE)
    offsets = [job.ready_at - (job.options or {})[SCHEDULE]["due"] for job in desk.jobs()]
    assert len(set(offsets)) == 5
    assert all(0.0 <= offset < 30.0 for offset in offsets)


def test_a_queue_that_takes_nothing_in_or_wants_no_duplicates_says_so(
    desk: Desk, settings: Settings, clock: SettableClock
) -> None:
    strict = QueueSettings(duplicates="reject")
    picky = Desk(app_of(JobQueue(desk.app.spool, desk.index, replace(settings, defaults=strict)), clock), clock)
    picky.add()

    assert picky.pass_by(MINUTE) == 1
    assert picky.pass_by(MINUTE) == 0
    assert "duplicate" in str(picky.row().trouble)
    assert picky.row().done_at == EPOCH + 2 * MINUTE
    picky.is_well()


# -------------------------------------------------------------------- two at once, and deaths


def test_of_two_janitors_that_see_to_it_at_once_one_makes_the_job(desk: Desk) -> None:
    """The other one comes, and goes, between the first one's copy and its commit."""
    rival = Firing(desk.jobqueue, desk.clock)

    def interrupted(
        jobqueue: JobQueue, clock: SettableClock, plan: Plan, mark: Mark, at: float, acts: Acts
    ) -> list[Arrival]:
        def later(arrival: Arrival) -> list[object]:
            assert rival.look() == 1
            return acts(arrival)  # type: ignore[return-value]

        return submitted(jobqueue, clock, plan, mark, at, later)  # type: ignore[arg-type]

    desk.firing = Firing(desk.jobqueue, desk.clock, interrupted)  # type: ignore[arg-type]
    desk.add()

    assert desk.pass_by(MINUTE) == 0
    assert desk.dues() == [1]
    assert desk.row().trouble is None
    assert not desk.app.spool.entries("rejected")
    desk.is_well()


def arrived(desk: Desk, owner: str, due: float) -> str:
    """What a janitor leaves that died before its commit: a payload in ready/ whose meta file tells the due time."""
    id_ = world.new_id(desk.clock.now())
    arrival = Arrival(id_, "default", b"tick.txt", 3, options={SCHEDULE: {"name": "tick", "due": due}})
    desk.app.spool.make_directory(f"ready/{owner}")
    desk.app.spool.write_meta(id_, desk.jobqueue.meta_of(arrival))
    desk.app.spool.path(f"ready/{owner}/{id_}.default.tick.txt").write_bytes(b"now")
    return id_


@pytest.mark.parametrize("is_first", [True, False])
def test_a_janitor_that_died_before_its_commit_is_no_second_job(desk: Desk, is_first: bool) -> None:
    """Whether what it left is adopted before the next one looks, or after."""
    desk.add()
    desk.clock.pass_by(MINUTE)
    dead = die(desk.app, "schedule")
    left = arrived(desk, dead, EPOCH + MINUTE)
    steps: list[Callable[[], object]] = [lambda: desk.app.recovery().reap(dead), desk.firing.look]

    for step in steps if is_first else reversed(steps):
        step()
    assert desk.dues() == [1]
    assert (desk.jobs()[0].id == left) == is_first
    refused = [name for name in desk.app.spool.entries("rejected") if name.endswith(".reason.json")]
    assert len(refused) == (0 if is_first else 1)
    desk.app.recovery().reconcile()
    desk.is_well()


def test_a_job_that_failed_or_is_gone_does_not_bring_its_due_time_back(desk: Desk) -> None:
    desk.add()
    desk.pass_by(MINUTE)
    job = desk.forget(desk.jobs()[0])

    assert [desk.pass_by(1.0) for _ in range(3)] == [0, 0, 0]
    assert desk.row().job == job.id


# -------------------------------------------------------------------- clocks


def test_a_clock_that_is_set_back_brings_no_due_time_twice(desk: Desk) -> None:
    desk.add()
    desk.pass_by(3 * MINUTE)
    desk.clock.step(-2 * MINUTE)

    assert [desk.pass_by(MINUTE) for _ in range(3)] == [0, 0, 1]
    assert desk.dues() == [3, 4]


def test_a_clock_that_is_set_forward_makes_due_times_late(desk: Desk) -> None:
    desk.add("0 * * * *", missed="once")
    desk.clock.step(5 * HOUR + 10 * MINUTE)

    assert desk.firing.look() == 1
    assert desk.dues() == [300]


def test_after_a_day_or_more_ahead_it_goes_on_from_the_present(desk: Desk) -> None:
    desk.add("0 * * * *")
    desk.clock.step(3 * DAY)
    desk.firing.look()
    desk.clock.step(-3 * DAY)

    assert desk.firing.look() == 0
    assert desk.row().next_at == EPOCH + HOUR
    assert desk.pass_by(HOUR) == 1


def test_the_janitor_sleeps_no_longer_than_until_the_next_due_time(desk: Desk) -> None:
    janitor = desk.app.janitor("janitor")
    assert janitor._next_look(False) == LOOK_EVERY
    desk.add()
    desk.clock.pass_by(57.5)
    janitor.look()

    assert janitor._next_look(False) == pytest.approx(2.5)
    desk.clock.pass_by(2.5)
    janitor.look()
    assert len(desk.jobs()) == 1
    assert janitor._next_look(False) == LOOK_EVERY


# -------------------------------------------------------------------- what is wanted


def test_what_is_wanted_stands_in_a_note_before_it_is_told(desk: Desk) -> None:
    made = desk.add()

    note = json.loads(desk.app.spool.path(schedule_path("tick")).read_text())
    assert note == {"schema": "pqfs.schedule/1", **note_of(made)}
    with pytest.raises(Refused, match="already"):
        desk.add()
    with pytest.raises(QueueNotFound):
        desk.schedules.add("other", Plan("* * * * *", text="x", queue="mail"), ANN, None, EPOCH)
    with pytest.raises(Refused, match="can not name"):
        desk.schedules.add("../x", Plan("* * * * *", text="x"), ANN, None, EPOCH)
    desk.is_well()


def test_what_passes_during_a_pause_brings_nothing(desk: Desk) -> None:
    desk.add(missed="all")
    desk.schedules.pause("tick", ANN, None, desk.clock.now())

    assert desk.pass_by(10 * MINUTE) == 0
    desk.schedules.resume("tick", ANN, None, desk.clock.now())
    assert desk.pass_by(MINUTE) == 1
    assert desk.dues() == [11]
    with pytest.raises(Refused, match="not paused"):
        desk.schedules.resume("tick", ANN, None, desk.clock.now())


def test_one_that_is_removed_is_gone_and_so_is_its_note(desk: Desk) -> None:
    desk.add()
    desk.schedules.remove("tick", ANN, "enough", desk.clock.now())

    assert desk.pass_by(10 * MINUTE) == 0
    assert not desk.app.spool.exists(schedule_path("tick"))
    with pytest.raises(ScheduleNotFound):
        desk.schedules.pause("tick", ANN, None, EPOCH)
    assert [verb for verb, _ in desk.told()] == ["add schedule", "remove schedule"]
    desk.is_well()


def test_a_rebuild_knows_what_is_wanted_and_what_has_been_seen_to(desk: Desk) -> None:
    desk.add(missed="all")
    desk.pass_by(3 * MINUTE)
    before = desk.row()
    index = desk.index
    with index.transaction():
        index.engine.run("delete_schedule", {"name": "tick"})
    for job in desk.jobs():
        desk.forget(job)

    Rebuild(desk.jobqueue, desk.app.owners, desk.clock).run()
    assert (desk.row().wish, desk.row().done_at) == (before.wish, before.done_at)
    assert desk.pass_by(1.0) == 0, "nothing is made a second time"
    assert desk.pass_by(MINUTE) == 1
    assert desk.dues() == [4]
    desk.is_well()


def test_a_note_that_is_behind_is_put_right_by_the_jobs_of_the_tree(desk: Desk) -> None:
    """Killed between the commit of a job and the note, and then the index is lost."""
    made = desk.add()
    desk.pass_by(MINUTE)
    desk.app.spool.write_schedule("tick", note_of(made))
    with desk.index.transaction():
        desk.index.engine.run("delete_schedule", {"name": "tick"})
        for job in desk.jobs():
            desk.index.engine.run("delete_job", {"id": job.id, "state": job.state})

    Rebuild(desk.jobqueue, desk.app.owners, desk.clock).run()
    assert desk.row().done_at == EPOCH + MINUTE
    assert desk.pass_by(1.0) == 0
    assert desk.dues() == [1]


def test_an_older_index_believes_the_note_and_makes_nothing_twice(desk: Desk) -> None:
    """As after `pqfs index restore`: the row is a copy of earlier, and so is what it says of due times."""
    older = desk.add(missed="all")
    desk.pass_by(3 * MINUTE)
    desk.schedules.pause("tick", ANN, None, desk.clock.now())
    with desk.index.transaction():
        desk.rows.wish(older)

    assert desk.schedules.restore(desk.clock.now(), believe=True) == 1
    assert (desk.row().done_at, desk.row().paused_at) == (EPOCH + 3 * MINUTE, desk.clock.now())
    desk.schedules.resume("tick", ANN, None, desk.clock.now())
    assert desk.pass_by(1.0) == 0
    assert desk.dues() == [1, 2, 3]


@pytest.mark.parametrize(
    "note", [{}, {"wish": {}, "created_at": 1, "done_at": 1}, {"wish": 7}, {"wish": {"cron": "x"}}]
)
def test_a_note_that_makes_no_sense_makes_no_schedule(desk: Desk, note: dict[str, object]) -> None:
    desk.app.spool.write_schedule("odd", note)

    assert desk.schedules.restore(EPOCH) == 0
    assert desk.rows.all() == []


def test_one_whose_zone_is_known_no_more_says_so_once_an_hour(desk: Desk) -> None:
    row = desk.add()
    with desk.index.transaction():
        desk.rows.wish(replace(row, wish=json.dumps({**row.wishes, "zone": "Mars/Base"})))

    assert [desk.pass_by(MINUTE) for _ in range(3)] == [0, 0, 0]
    assert "no time zone" in str(desk.row().trouble)
    assert [verb for verb, _ in desk.told()] == ["add schedule", "miss"]
    assert desk.row().next_at == EPOCH + MINUTE + HOUR


# -------------------------------------------------------------------- the command


def test_it_is_steered_by_commands(shell: Shell) -> None:
    assert shell("schedule", "add", "nightly", "0 2 * * *", "--text", "go", "--tz", "Europe/Berlin", "-p", "3") == 0
    assert shell("schedule", "add", "gone", "0 2 * * *", "missing.txt") == 1
    assert shell("schedule", "add", "bad", "whenever", "--text", "x") == 2
    assert shell("schedule", "run", "nightly") == 0
    job = shell.out.strip()
    assert shell.state(job) == "pending"

    (item,) = shell.items("schedule", "list")
    assert (item["name"], item["cron"], item["zone"], item["job"], item["state"]) == (
        "nightly", "0 2 * * *", "Europe/Berlin", job, "pending",
    )  # fmt: skip
    assert datetime.fromtimestamp(parse_iso(item["next_at"]), ZoneInfo("Europe/Berlin")).hour == 2
    assert shell("schedule", "list") == 0
    assert "nightly" in shell.out
    for act in ("pause", "resume", "remove"):
        assert shell("schedule", act, "nightly") == 0
    assert shell("schedule", "resume", "nightly") == 4
    assert shell.items("schedule", "list") == []


def test_between_two_looks_a_stop_is_heard(desk: Desk) -> None:
    """A due time in the past is no reason to look without a pause."""
    desk.add()
    desk.clock.pass_by(MINUTE)
    janitor, stop = desk.app.janitor("janitor"), Stop()

    janitor._firing.next_at = desk.clock.now() - 1
    assert 0 < janitor._next_look(False) <= LOOK_EVERY
    stop.request()
