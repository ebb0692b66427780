"""One look at a spool, and what in it needs a person."""

from __future__ import annotations

import json

import pytest

from pqfs.jobqueue import JobQueue
from pqfs.model import State
from pqfs.report import consumers, job_item, overview, to_json
from pqfs.wiring import App
from tests.opened import app_of, consumer, live, run
from tests.world import SettableClock, submitted


@pytest.fixture
def app(jobqueue: JobQueue, clock: SettableClock) -> App:
    return app_of(jobqueue, clock)


def test_an_empty_spool_has_nothing_in_it(app: App) -> None:
    found = overview(app)

    assert set(found.jobs) == set(State)
    assert not any(found.jobs.values())
    assert (found.inbox, found.rejected, found.late, found.oldest_wait) == (0, 0, 0, None)


def test_jobs_are_counted_by_state_and_queue(app: App, clock: SettableClock) -> None:
    with app.index.transaction():
        app.index.create_queue("mail", clock.now())
    job = submitted(app.jobqueue, clock.now(), b"a")
    submitted(app.jobqueue, clock.now(), b"b", queue="mail")
    app.jobqueue.hold(job, "me", None, clock.now())

    found = overview(app)

    assert (found.jobs[State.PENDING], found.jobs[State.HELD]) == (1, 1)
    assert {queue.name: queue.jobs for queue in found.queues} == {
        "default": {State.HELD: 1},
        "mail": {State.PENDING: 1},
    }


def test_the_oldest_wait_is_that_of_the_job_that_has_been_due_longest(app: App, clock: SettableClock) -> None:
    submitted(app.jobqueue, clock.now(), b"old")
    clock.pass_by(40)
    submitted(app.jobqueue, clock.now(), b"new")
    submitted(app.jobqueue, clock.now(), b"urgent", priority=9)
    submitted(app.jobqueue, clock.now(), b"later", ready_at=clock.now() + 999)

    assert overview(app).oldest_wait == pytest.approx(40)


def test_a_job_whose_time_has_come_while_nobody_claimed_counts_as_waiting(app: App, clock: SettableClock) -> None:
    submitted(app.jobqueue, clock.now(), ready_at=clock.now() + 10)
    assert overview(app).oldest_wait is None

    clock.pass_by(25)

    assert overview(app).oldest_wait == pytest.approx(15)


def test_rates_slide_with_the_clock(app: App, clock: SettableClock) -> None:
    submitted(app.jobqueue, clock.now(), data=b"12345")
    assert (overview(app).last_minute.ingested, overview(app).last_minute.bytes) == (1, 5)

    clock.pass_by(90)  # the minute of the arrival is half inside

    assert overview(app).last_minute.ingested == pytest.approx(0.5)
    assert overview(app).last_hour.ingested == 1


def test_a_consumer_is_shown_with_what_it_runs(app: App, clock: SettableClock) -> None:
    lock = live(app, "consumer-00")
    consumer(app, lock.name)
    submitted(app.jobqueue, clock.now(), b"a.txt")
    [job] = app.jobqueue.claim(lock.name, ["default"], 1, clock.now())
    run(app, lock.name, job.id, job.attempt)
    clock.pass_by(3)

    [found] = consumers(app)

    assert found.is_alive
    assert found.running is not None
    assert (found.running.name, found.running.attempt, found.running.seconds) == ("a.txt", 1, 3)
    lock.release()


def test_hidden_files_do_not_wait_in_the_inbox(app: App) -> None:
    inbox = app.spool.path("inbox")
    (inbox / "sub").mkdir()
    for name in (".hidden", "a.tmp", "a", "sub/b"):
        (inbox / name).write_bytes(b"")

    assert overview(app).inbox == 2


def test_a_job_is_listed_with_exactly_these_fields(app: App, clock: SettableClock) -> None:
    item = job_item(submitted(app.jobqueue, clock.now(), b"-a\n%"))

    assert list(item) == [
        "id", "name", "queue", "state", "priority", "attempt", "failures", "crashes", "size", "created_at",
        "ready_at", "updated_at", "owner", "output", "error", "assigned_to",
    ]  # fmt: skip
    assert item["name"] == "%2Da%0A%25"
    assert item["created_at"] == "2027-01-15T08:00:00.000000Z"


def test_every_answer_becomes_json(app: App, clock: SettableClock) -> None:
    submitted(app.jobqueue, clock.now(), b"\xff")

    found = json.loads(json.dumps(to_json(overview(app))))

    assert found["at"] == "2027-01-15T08:00:00.000000Z"
    assert found["jobs"]["pending"] == 1


def test_hidden_names_in_rejected_are_not_refused_files(app: App) -> None:
    app.spool.path("rejected/.gitkeep").touch()

    assert overview(app).rejected == 0
