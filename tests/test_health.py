"""Each rule of health: what makes it true, what is no reason for it, and that it ends with its cause."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pqfs import symptoms
from pqfs.alarms import Alarms, Checkup
from pqfs.clock import boot_id
from pqfs.errors import Corrupt, IndexGone, PqfsError, SchemaTooNew, Unavailable
from pqfs.health import RULES, Severity, alarms, examine, exit_code
from pqfs.index import Settlement
from pqfs.index.notices import Notices
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome, State
from pqfs.pulse import Pulse, read_beats
from pqfs.queueing import Queueing
from pqfs.report import to_json
from pqfs.retry import Budget
from pqfs.settings import HealthSettings
from pqfs.spool import Spool
from pqfs.vitals import Program, Room, look, look_without_index
from pqfs.wiring import App
from tests.databases import behind
from tests.opened import app_of, consumer, live, run
from tests.world import SettableClock, submitted


class Stack:
    """A spool on which an ingester, a janitor and a consumer live and beat; the test moves the clock."""

    def __init__(self, app: App, clock: SettableClock) -> None:
        self.app, self.clock = app, clock
        self.locks = {program: live(app, program) for program in ("ingester", "janitor", "consumer-00")}
        self.owners = {program: lock.name for program, lock in self.locks.items()}
        self.pulses = {program: self.pulse(program, owner) for program, owner in self.owners.items()}
        consumer(app, self.owners["consumer-00"])
        self.beat()

    def pulse(self, program: str, owner: str) -> Pulse:
        """The writing end of a program's pulse."""
        return Pulse(self.app.spool.path("run"), program, owner, boot_id(), self.clock)

    def beat(self, but: Sequence[str] = (), **said: Any) -> None:
        """Let everybody beat but some; what is `said` is the ingester's."""
        for program, pulse in self.pulses.items():
            if program not in but:
                pulse.beat(None, **(said if program == "ingester" else {}))
        if "consumer-00" not in but:
            with self.app.index.transaction():
                owner = self.owners["consumer-00"]
                self.app.index.beat(owner, self.clock.now(), self.clock.boottime(), 0)

    def pass_by(self, seconds: float, but: Sequence[str] = (), **said: Any) -> None:
        """Let time pass in which everybody beats but some."""
        for _ in range(10):
            self.clock.pass_by(seconds / 10)
            self.beat(but, **said)

    def end(self, program: str) -> None:
        """Let a process end in good order."""
        self.locks.pop(program).release()
        if program.startswith("consumer"):
            with self.app.index.transaction():
                self.app.index.forget_consumer(self.owners[program])

    def claim(self) -> Job:
        """Let the consumer lease the next job."""
        [job] = self.app.jobqueue.claim(self.owners["consumer-00"], ["default"], 1, self.clock.now())
        return job

    def names(self, programs: Sequence[Program] | None = None) -> list[str]:
        """The alarms that hold."""
        return [each.name for each in alarms(examine(look(self.app, programs)))]

    def notices(self) -> list[str]:
        """The notices."""
        return [each.name for each in examine(look(self.app)) if each.severity is Severity.NOTICE]

    def sentence(self, name: str) -> str:
        """What a rule says."""
        return next(each.sentence for each in examine(look(self.app)) if each.name == name)


@pytest.fixture
def app(jobqueue: JobQueue, clock: SettableClock) -> App:
    return app_of(jobqueue, clock)


@pytest.fixture
def stack(app: App, clock: SettableClock) -> Stack:
    return Stack(app, clock)


# -------------------------------------------------------------------- no false alarm


def test_an_idle_stack_raises_no_alarm(stack: Stack) -> None:
    assert stack.names() == []

    stack.pass_by(86400)

    assert stack.names() == []
    assert examine(look(stack.app)) == []


def test_a_stack_that_has_just_started_beside_an_old_backlog_raises_none(
    jobqueue: JobQueue, clock: SettableClock
) -> None:
    app = app_of(jobqueue, clock)
    submitted(jobqueue, clock.now())
    clock.pass_by(7 * 86400)
    lock = live(app, "janitor")
    starting = [Program("ingester", "STARTING", "", 0.5), Program("consumer-00", "RUNNING", "", 0.5)]

    assert alarms(examine(look(app, starting))) == []
    assert alarms(examine(look(app))) == []
    lock.release()
    assert alarms(examine(look(app, starting))) == []


def test_a_long_job_within_its_limit_is_no_alarm_however_many_wait(stack: Stack, clock: SettableClock) -> None:
    submitted(stack.app.jobqueue, clock.now())
    job = stack.claim()
    run(stack.app, stack.owners["consumer-00"], job.id, job.attempt)
    submitted(stack.app.jobqueue, clock.now(), b"behind")

    stack.pass_by(3500)  # of an hour

    assert stack.names() == []


def test_delayed_held_and_retried_jobs_are_no_alarm(stack: Stack, clock: SettableClock) -> None:
    jobqueue = stack.app.jobqueue
    jobqueue.hold(submitted(jobqueue, clock.now(), b"held"), "me", None, clock.now())
    submitted(jobqueue, clock.now(), b"later", ready_at=clock.now() + 1e6)
    submitted(jobqueue, clock.now(), b"again")
    [job] = jobqueue.claim(stack.owners["consumer-00"], ["default"], 1, clock.now())
    jobqueue.end(job, Outcome(Kind.RELEASED, "not yet", delay=5000), clock.now())

    stack.pass_by(4000)

    assert stack.names() == []


def test_a_job_that_was_put_aside_for_long_and_just_released_is_no_alarm(stack: Stack, clock: SettableClock) -> None:
    jobqueue = stack.app.jobqueue
    held = jobqueue.hold(submitted(jobqueue, clock.now()), "me", None, clock.now())
    stack.pass_by(86400)

    jobqueue.release(held, "me", None, clock.now())

    assert stack.names() == []


def test_a_restart_is_no_alarm(stack: Stack, clock: SettableClock) -> None:
    submitted(stack.app.jobqueue, clock.now())
    stack.pass_by(60)
    for program in ("ingester", "janitor", "consumer-00"):
        stack.end(program)
    other = live(stack.app, "consumer-01")
    clock.pass_by(3)

    assert stack.names() == []
    other.release()


def test_a_long_sync_is_no_alarm(stack: Stack, clock: SettableClock) -> None:
    stack.pulses["ingester"].beat("making files durable")

    stack.pass_by(300, but=["ingester"])
    assert stack.names() == []

    stack.pass_by(400, but=["ingester"])
    assert stack.names() == ["ingester-blind"]


# -------------------------------------------------------------------- the stack


def test_where_nothing_runs_that_is_all_that_is_said(app: App, clock: SettableClock) -> None:
    submitted(app.jobqueue, clock.now())
    app.spool.path("inbox/a").touch()
    clock.pass_by(1e6)

    found = examine(look(app))

    assert [each.name for each in found] == ["not-running"]
    assert "default" in found[0].sentence
    assert exit_code(found) == 5


@pytest.mark.parametrize("state", ["FATAL", "BACKOFF"])
def test_a_program_that_can_not_be_started_is_an_alarm(stack: Stack, state: str) -> None:
    broken = Program("ui", state, "can't find command 'pqfs'")

    assert stack.names([broken]) == ["program-fatal"]
    assert stack.names([Program("ui", "RUNNING", "")]) == []


def test_a_janitor_that_is_stopped_is_an_alarm_until_it_looks_again(stack: Stack) -> None:
    stack.pass_by(24, but=["janitor"])
    assert stack.names() == []

    stack.pass_by(2, but=["janitor"])
    assert stack.names() == ["janitor-overdue"]

    stack.beat()
    assert stack.names() == []


def test_a_janitor_that_fails_at_every_look_says_why(stack: Stack) -> None:
    stack.pass_by(30, but=["janitor"])
    stack.pulses["janitor"].complain("the index is locked")

    assert "the index is locked" in stack.sentence("janitor-overdue")


def test_an_ingester_or_janitor_that_is_gone_for_longer_than_a_restart_is_an_alarm(stack: Stack) -> None:
    stack.end("ingester")
    stack.end("janitor")

    stack.pass_by(25, but=["ingester", "janitor"])

    assert stack.names() == ["ingester-missing", "janitor-overdue"]


def test_an_ingester_that_somebody_has_stopped_is_an_alarm_at_once(stack: Stack) -> None:
    """Supervisor will not start it again: there is nothing to wait for."""
    stack.end("ingester")
    stopped = [Program("ingester", "STOPPED", ""), Program("janitor", "RUNNING", "")]

    assert stack.names(stopped) == []  # it may be about to be started anew
    stack.pass_by(6, but=["ingester"])

    assert stack.names(stopped) == ["ingester-missing"]
    assert stack.names() == [], "who can not ask supervisor waits for longer"


# -------------------------------------------------------------------- the inbox


def test_an_ingester_that_does_not_sweep_is_blind(stack: Stack) -> None:
    stack.pass_by(30, but=["ingester"])

    assert stack.names() == ["ingester-blind"]
    assert "not swept the inbox for 30 s" in stack.sentence("ingester-blind")


def test_a_blind_watch_is_an_alarm_until_it_has_seen_for_a_while(stack: Stack, clock: SettableClock) -> None:
    blind = {"cause": "the directory was exchanged", "at": clock.boottime(), "is_over": False}
    stack.pass_by(100, blind=blind)
    assert stack.names() == ["ingester-blind"]
    assert "the directory was exchanged" in stack.sentence("ingester-blind")

    blind = {**blind, "at": clock.boottime(), "is_over": True}
    stack.pass_by(10, blind=blind)
    assert stack.names() == ["ingester-blind"]

    stack.pass_by(11, blind=blind)
    assert stack.names() == []


def test_a_file_that_waits_longer_than_it_may_is_an_alarm_with_its_reason(stack: Stack, clock: SettableClock) -> None:
    waiting = {"name": "a.bin", "reason": "somebody is still writing it", "since": clock.boottime(), "limit": None}
    stack.pass_by(899, waiting=waiting)
    assert stack.names() == []

    stack.pass_by(2, waiting=waiting)

    assert stack.names() == ["inbox-waiting"]
    assert "inbox/a.bin" in stack.sentence("inbox-waiting")
    assert "somebody is still writing it" in stack.sentence("inbox-waiting")


def test_a_file_that_may_wait_for_its_sidecar_is_no_alarm_before(stack: Stack, clock: SettableClock) -> None:
    waiting = {"name": "a", "reason": "it waits for its sidecar", "since": clock.boottime(), "limit": 7200.0}

    stack.pass_by(7000, waiting=waiting)
    assert stack.names() == []

    stack.pass_by(300, waiting=waiting)
    assert stack.names() == ["inbox-waiting"]


def test_a_quota_that_is_reached_is_a_notice(stack: Stack) -> None:
    stack.pass_by(10_000, quotas=("queue default has 2 files waiting, and max_files is 2",))

    assert stack.names() == []
    assert stack.notices() == ["quota-reached"]
    assert "max_files is 2" in stack.sentence("quota-reached")


# -------------------------------------------------------------------- jobs


def test_what_nobody_tells_is_an_alarm_and_so_is_what_nobody_would_hear(stack: Stack, clock: SettableClock) -> None:
    notices = Notices(stack.app.index.engine)
    with stack.app.index.transaction():
        body = {"id": "n-1", "queue": "default", "job": None}
        notices.add(["mark"], "a.txt.json", "dead", body, clock.now())
    assert stack.names() == []

    stack.pass_by(25)
    assert stack.names() == ["courier-missing"]

    lock = live(stack.app, "courier")
    assert stack.names() == []
    (due,) = notices.due("mark", clock.now(), 9)
    with stack.app.index.transaction():
        notices.failed(due, "it answered 500", clock.now(), clock.now())
    assert stack.names() == ["not-told"]
    lock.release()


def test_a_backlog_that_no_living_consumer_takes_is_an_alarm(stack: Stack, clock: SettableClock) -> None:
    stack.end("consumer-00")
    submitted(stack.app.jobqueue, clock.now())
    assert stack.names() == []

    stack.pass_by(25, but=["consumer-00"])
    assert stack.names() == ["no-consumer"]

    lock = live(stack.app, "consumer-01")
    consumer(stack.app, lock.name, queues=("mail",))
    assert stack.names() == ["no-consumer"], "it takes another queue"

    other = live(stack.app, "consumer-02")
    consumer(stack.app, other.name)
    assert stack.names() == []
    lock.release()
    other.release()


def test_a_delayed_job_whose_time_has_come_counts_as_backlog(stack: Stack, clock: SettableClock) -> None:
    stack.end("consumer-00")
    submitted(stack.app.jobqueue, clock.now(), ready_at=clock.now() + 50)

    stack.pass_by(60, but=["consumer-00"])
    assert stack.names() == []

    stack.pass_by(20, but=["consumer-00"])
    assert stack.names() == ["no-consumer"]


def test_a_paused_queue_is_a_notice(stack: Stack, clock: SettableClock) -> None:
    submitted(stack.app.jobqueue, clock.now())
    behind(stack.app.index.engine, f"UPDATE queues SET paused_at = {clock.now()}, paused_by = 'me'")  # noqa: S608

    stack.pass_by(1000)

    assert stack.names() == []
    assert stack.notices() == ["paused"]
    assert "by me" in stack.sentence("paused")


def test_what_a_pause_or_a_limit_holds_back_is_no_alarm_nor_is_the_moment_after(
    stack: Stack, clock: SettableClock
) -> None:
    clock.wall -= clock.wall % 86400
    queueing = Queueing(stack.app.jobqueue)
    for _ in range(2):
        submitted(stack.app.jobqueue, clock.now())
    queueing.pause("default", clock.now() + 1000, "me", "it rains", clock.now())
    stack.pass_by(999)
    assert (stack.names(), stack.notices()) == ([], ["paused"])
    assert "by me" in stack.sentence("paused") and ": it rains." in stack.sentence("paused")
    stack.pass_by(2)
    assert (stack.names(), stack.notices()) == ([], [])

    queueing.resume("default", "me", None, clock.now())
    queueing.set("default", {"claim_rate": "1/d"}, [], "me", None, clock.now())
    stack.app.jobqueue.end(stack.claim(), Outcome(Kind.PERMANENT, "no"), clock.now())
    stack.pass_by(86399 - clock.wall % 86400)
    assert stack.names() == []
    stack.pass_by(2)
    assert stack.names() == []
    stack.pass_by(200)
    assert stack.names() == ["backlog-stuck"]


def test_a_job_that_free_consumers_do_not_claim_is_an_alarm_until_one_ends(
    stack: Stack, clock: SettableClock
) -> None:
    submitted(stack.app.jobqueue, clock.now())
    submitted(stack.app.jobqueue, clock.now(), b"next")

    stack.pass_by(119)
    assert stack.names() == []

    stack.pass_by(100)
    assert stack.names() == ["backlog-stuck"]

    stack.app.jobqueue.end(stack.claim(), Outcome(Kind.PERMANENT, "no"), clock.now())
    assert stack.names() == []


def test_a_job_beyond_its_limit_is_an_alarm_until_it_ends(stack: Stack, clock: SettableClock) -> None:
    submitted(stack.app.jobqueue, clock.now(), options={"timeout": 60})
    job = stack.claim()
    run(stack.app, stack.owners["consumer-00"], job.id, job.attempt)

    stack.pass_by(81)  # timeout, kill_after, patience
    assert stack.names() == []

    stack.pass_by(5)
    assert stack.names() == ["no-progress"]
    assert job.id in stack.sentence("no-progress")


def test_a_consumer_that_holds_jobs_and_starts_none_is_an_alarm(stack: Stack, clock: SettableClock) -> None:
    since = clock.boottime()
    clock.pass_by(19)
    stack.pulses["consumer-00"].beat(idle_since=since)
    stack.beat(but=["consumer-00"])
    assert stack.names() == []

    clock.pass_by(2)
    assert stack.names() == ["no-progress"]


def test_a_handler_that_is_not_there_is_an_alarm_that_names_it_until_it_is(stack: Stack) -> None:
    stack.pulses["consumer-00"].beat(unfit={"scans": "The command 'ocr' was not found."})

    assert stack.names() == ["handler-unfit"]
    assert stack.sentence("handler-unfit") == (
        "consumer-00 can run no job of queue scans: The command 'ocr' was not found."
    )

    stack.beat()
    assert stack.names() == []


def test_a_consumer_whose_loop_stands_still_while_it_beats_is_an_alarm(stack: Stack, clock: SettableClock) -> None:
    for _ in range(61):
        clock.pass_by(10)
        with stack.app.index.transaction():
            stack.app.index.beat(stack.owners["consumer-00"], clock.now(), clock.boottime(), 0)
        stack.beat(but=["consumer-00"])

    assert stack.names() == ["no-progress"]
    assert "busy with one step" in stack.sentence("no-progress")


def test_a_consumer_that_is_silent_past_its_lease_is_an_alarm(stack: Stack) -> None:
    stack.pass_by(31, but=["consumer-00"])

    assert stack.names() == ["no-progress"]
    assert "not renewed its lease" in stack.sentence("no-progress")


def test_a_payload_that_nobody_puts_in_place_is_an_alarm_after_a_minute(stack: Stack, clock: SettableClock) -> None:
    submitted(stack.app.jobqueue, clock.now())
    claimed = stack.claim()
    with stack.app.index.transaction():
        stack.app.index.settle(Settlement(claimed, State.FAILED, Budget(), clock.now(), "no"), clock.now())

    assert stack.names() == []
    stack.pass_by(61)
    assert stack.names() == ["rows-unconfirmed"]


def test_dead_letters_are_a_notice(stack: Stack, clock: SettableClock) -> None:
    job = submitted(stack.app.jobqueue, clock.now())
    stack.app.jobqueue.fail(job, "me", None, clock.now())

    assert stack.names() == []
    assert stack.notices() == ["dead-letters"]


# -------------------------------------------------------------------- the machine


@pytest.mark.parametrize(
    ("room", "name"),
    [
        (Room(1000, 10**6, 10**6, True, 0), "disk-low"),
        (Room(10**12, 999, 10**6, False, 0), "inodes-low"),
        (Room(10**12, 10**6, 10**6, False, 257 * 2**20), "log-growing"),
    ],
)
def test_want_of_room_is_an_alarm(stack: Stack, room: Room, name: str) -> None:
    found = examine(replace(look(stack.app), room=room))

    assert [each.name for each in found] == [name]
    assert exit_code(found) == 6


@pytest.mark.parametrize("inodes", [(None, 0), (90, 1000)])
def test_a_volume_without_inodes_or_made_with_few_is_no_alarm(stack: Stack, inodes: tuple[int | None, int]) -> None:
    assert examine(replace(look(stack.app), room=Room(10**12, *inodes, False, 0))) == []


def test_the_alarm_of_a_failed_sync_stands_until_it_is_removed(stack: Stack, tmp_path: Path) -> None:
    stack.app.spool.alarm = tmp_path / "alarm"
    stack.app.spool.raise_alarm("Input/output error")

    assert stack.names() == ["volume-alarm"]
    assert "Input/output error" in stack.sentence("volume-alarm")

    stack.app.spool.alarm.unlink()
    assert stack.names() == []


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_clock_that_was_set_is_an_alarm_for_a_while(stack: Stack, clock: SettableClock, step: float) -> None:
    checkup = Checkup(stack.app, stack.pulses["janitor"], None, lambda: None)
    checkup.make({})
    clock.step(step)
    clock.pass_by(1)

    assert stack.names() == ["clock-stepped"], "told by the beats before the janitor has looked"
    stack.beat(but=["janitor"])
    checkup.make({})

    assert stack.names() == ["clock-stepped"]
    assert ("back" if step < 0 else "forward") in stack.sentence("clock-stepped")
    for _ in range(100):
        clock.pass_by(6.5)
        stack.beat(but=["janitor"])
        checkup.make({})
    assert stack.names() == []


def test_a_clock_that_was_set_while_no_janitor_lived_is_seen_by_the_next(stack: Stack, clock: SettableClock) -> None:
    before = next(beat for beat in read_beats(stack.app.spool.path("run")) if beat.program == "janitor")
    clock.step(100)

    Checkup(stack.app, stack.pulses["janitor"], before, lambda: None).make({})

    stack.beat(but=["janitor"])
    assert stack.names() == ["clock-stepped"]


def test_an_index_from_the_future_is_a_notice(stack: Stack, clock: SettableClock) -> None:
    submitted(stack.app.jobqueue, clock.now())
    stack.app.jobqueue.fail(stack.app.index.jobs(None, None, "~", 1)[0], "me", None, clock.now())
    with stack.app.index.transaction():
        stack.app.index.add_stats("default", clock.now() + 3600, completed=1)

    assert "index-ahead" in stack.notices()


# -------------------------------------------------------------------- the index


@pytest.mark.parametrize(
    ("trouble", "name"),
    [(Corrupt("The index is damaged."), "index-damaged"), (Unavailable("There is no index."), "index-missing")],
)
def test_an_index_that_can_not_be_opened_is_an_alarm(stack: Stack, trouble: PqfsError, name: str) -> None:
    found = alarms(examine(look_without_index(stack.app.settings, stack.clock, trouble)))

    assert [(each.name, each.sentence) for each in found] == [(name, trouble.message)]
    assert exit_code(found) == 6


def test_who_is_refused_the_index_hears_what_helps_and_not_to_make_it_again(stack: Stack) -> None:
    trouble = IndexGone("The index is being moved.", "The same move again goes on.")

    (found,) = alarms(examine(look_without_index(stack.app.settings, stack.clock, trouble)))

    assert found.hint == trouble.hint


def test_an_empty_spool_that_nobody_runs_misses_no_index(spool: Spool, app: App) -> None:
    found = examine(look_without_index(app.settings, app.clock, Unavailable("There is no index.")))

    assert [each.name for each in found] == ["not-running"]


def test_a_newer_schema_is_no_question_of_health(app: App) -> None:
    with pytest.raises(SchemaTooNew):
        look_without_index(app.settings, app.clock, SchemaTooNew(9, 1))


def test_damage_that_is_met_while_looking_is_an_alarm(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> None:
        raise Corrupt("The index is damaged: malformed.")

    monkeypatch.setattr(stack.app.index.engine, "run", damaged)

    assert stack.names() == ["index-damaged"]


# -------------------------------------------------------------------- the log


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().split(" what=")[0] for record in caplog.records]


def test_an_alarm_is_logged_when_it_begins_and_when_it_is_over_and_not_between(
    stack: Stack, clock: SettableClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pqfs")
    noted = Alarms()
    stack.pass_by(30, but=["ingester"])
    for _ in range(3):
        noted.note(examine(look(stack.app)), clock.boottime())
        clock.pass_by(5)
    stack.beat()
    noted.note(examine(look(stack.app)), clock.boottime())

    assert _logged(caplog) == ["alarm rule=ingester-blind", "alarm-over rule=ingester-blind lasted=15.000"]


def test_the_next_janitor_goes_on_with_the_alarms_of_the_last(
    stack: Stack, clock: SettableClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pqfs")
    stack.pass_by(30, but=["ingester"])
    began = clock.now()
    Checkup(stack.app, stack.pulses["janitor"], None, lambda: None).make({})
    clock.pass_by(40)
    before = next(beat for beat in read_beats(stack.app.spool.path("run")) if beat.program == "janitor")
    stack.beat(but=["ingester", "janitor"])

    Checkup(stack.app, stack.pulses["janitor"], before, lambda: None).make({})

    assert _logged(caplog) == ["alarm rule=ingester-blind"]
    (found,) = examine(look(stack.app))
    assert found.since_at == pytest.approx(began)
    assert to_json(found)["since_at"].startswith("2027-01-15T08:00:30")


def test_a_look_that_fails_because_nothing_can_be_read_ends_no_janitor(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        raise Unavailable("The index's disk reports an error.")

    checkup = Checkup(stack.app, stack.pulses["janitor"], None, lambda: None)
    monkeypatch.setattr(stack.app.index.engine, "run", unreadable)

    checkup.complain(Unavailable("The index's disk reports an error."))

    beat = next(beat for beat in read_beats(stack.app.spool.path("run")) if beat.program == "janitor")
    assert beat.trouble == "The index's disk reports an error."


def test_supervisor_is_asked_once_a_minute(stack: Stack, clock: SettableClock) -> None:
    asked = list[float]()

    def programs() -> list[Program]:
        asked.append(clock.boottime())
        return []

    checkup = Checkup(stack.app, stack.pulses["janitor"], None, programs)
    for _ in range(25):
        checkup.make({})
        clock.pass_by(5)

    assert len(asked) == 3


# -------------------------------------------------------------------- the table


def test_every_rule_has_a_name_of_its_own_and_says_what_to_do() -> None:
    names = [rule.name for rule in RULES]

    assert len(set(names)) == len(names)
    assert all(rule.hint for rule in RULES)
    assert HealthSettings().patience > 2 * symptoms.LOOK_EVERY
