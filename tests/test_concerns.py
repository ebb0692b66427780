"""`pqfs why` names the alarms that concern what was asked after, and no others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pqfs.clock import boot_id
from pqfs.jobqueue import JobQueue
from pqfs.pulse import Pulse
from pqfs.why import why
from pqfs.wiring import App
from tests.opened import app_of, consumer, live, run
from tests.world import SettableClock, submitted


@pytest.fixture
def app(jobqueue: JobQueue, clock: SettableClock) -> Iterator[App]:
    """A spool that a janitor looks after."""
    app = app_of(jobqueue, clock)
    lock = live(app, "janitor")
    yield app
    lock.release()


def _said(app: App, target: object) -> str:
    return " ".join(sentence for sentence in why(app, str(target)).sentences if sentence.startswith("Alarm"))


def test_a_job_without_a_consumer_names_the_alarm_of_its_queue(app: App, clock: SettableClock) -> None:
    with app.index.transaction():
        app.index.create_queue("mail", clock.now())
    served, unserved = submitted(app.jobqueue, clock.now()), submitted(app.jobqueue, clock.now(), queue="mail")
    lock = live(app, "consumer-00")
    consumer(app, lock.name, queues=("default",))
    clock.pass_by(25)

    assert "Alarm no-consumer: The next job of queue mail" in _said(app, unserved.id)
    assert "no-consumer" not in _said(app, served.id)
    lock.release()


def test_a_job_beyond_its_limit_names_the_alarm_of_its_consumer(app: App, clock: SettableClock) -> None:
    for name in (b"a", b"b"):
        submitted(app.jobqueue, clock.now(), name, options={"timeout": 10})
    locks = [live(app, f"consumer-0{number}") for number in range(2)]
    jobs = []
    for lock in locks:
        consumer(app, lock.name, lease=1000)
        jobs += app.jobqueue.claim(lock.name, ["default"], 1, clock.now())
    run(app, locks[0].name, jobs[0].id, 1)
    clock.pass_by(100)

    assert "Alarm no-progress" in _said(app, jobs[0].id)
    assert "no-progress" not in _said(app, jobs[1].id)
    for lock in locks:
        lock.release()


def test_what_is_at_rest_names_no_alarm(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    app.jobqueue.hold(job, "me", None, clock.now())
    failed = app.jobqueue.fail(submitted(app.jobqueue, clock.now()), "me", None, clock.now())
    clock.pass_by(1000)

    assert _said(app, job.id) == _said(app, failed.id) == ""


def test_a_file_names_the_alarms_of_the_inbox(app: App, clock: SettableClock) -> None:
    lock = live(app, "ingester")
    pulse = Pulse(app.spool.path("run"), "ingester", lock.name, boot_id(), clock)
    waiting = {"name": "late", "reason": "somebody is still writing it", "since": clock.boottime(), "limit": None}
    clock.pass_by(1000)
    pulse.beat(waiting=waiting)
    for name in ("late", "other"):
        app.spool.path(f"inbox/{name}").touch()

    assert "Alarm inbox-waiting: inbox/late has been waiting for 17 min" in _said(app, "late")
    assert "inbox-waiting" not in _said(app, "other")

    clock.pass_by(30)
    assert "Alarm ingester-blind" in _said(app, "other")
    pulse.close()
    lock.release()
