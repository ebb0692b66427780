"""What the settings no longer keep is counted before anybody removes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome, Place
from pqfs.queueing import Queueing
from pqfs.retention import Expired, expired
from pqfs.settings import KeepSettings
from pqfs.wiring import App
from tests.opened import app_of
from tests.world import SettableClock, submitted, write_output


@pytest.fixture
def app(jobqueue: JobQueue, clock: SettableClock) -> App:
    return app_of(jobqueue, clock)


def test_what_is_no_longer_kept_is_counted_without_removing_it(app: App, clock: SettableClock) -> None:
    settings = replace(app.settings, keep=KeepSettings(cancelled=60.0))
    aged = app_of(JobQueue(app.spool, app.index, settings), clock)
    job = submitted(app.jobqueue, clock.now())
    app.jobqueue.cancel(job, "me", None, clock.now())
    assert expired(aged) == []

    clock.pass_by(61)

    assert expired(aged) == [Expired("cancelled jobs", 1, capped=False)]
    assert app.index.job(job.id) is not None


def test_what_is_counted_is_what_the_janitor_removes(app: App, clock: SettableClock) -> None:
    submitted(app.jobqueue, clock.now())
    [job] = app.jobqueue.claim("consumer.1.aa", ["default"], 1, clock.now())
    app.spool.start(job)
    write_output(app.spool, job)
    app.jobqueue.end(job, Outcome(Kind.DONE), clock.now())

    clock.pass_by(9 * 86400)

    assert expired(app) == [Expired("inputs in done/", 1, capped=False)]
    assert app.janitor("janitor").purge() == 1
    assert expired(app) == []


def _completed(app: App, clock: SettableClock, queue: str) -> Job:
    submitted(app.jobqueue, clock.now(), queue=queue)
    [job] = app.jobqueue.claim("consumer.1.aa", [queue], 1, clock.now())
    app.spool.start(job)
    write_output(app.spool, job)
    app.jobqueue.end(job, Outcome(Kind.DONE), clock.now())
    app.spool.remove_tree(f"outbox/{queue}" if queue != "default" else "outbox")
    app.spool.make_directory("outbox")
    return app.jobqueue.job(job.id)


def test_a_queue_may_keep_for_a_time_of_its_own(app: App, clock: SettableClock) -> None:
    """Shorter or longer than all others: inputs, rows, dead letters and cancelled jobs."""
    queueing = Queueing(app.jobqueue)
    for name, wishes in (
        ("brief", {"keep_done": "0", "keep_dead": "1d", "keep_cancelled": "1d", "keep_rows": "1d"}),
        ("long", {"keep_done": "200d", "keep_cancelled": "forever"}),
    ):
        queueing.create(name, wishes, "me", None, clock.now())
    done = {queue: _completed(app, clock, queue) for queue in ("default", "brief", "long")}
    assert [job.place for job in done.values()] == [Place.DONE, Place.GONE, Place.DONE]
    dead, gone = {}, {}
    for queue in done:
        dead[queue] = app.jobqueue.fail(submitted(app.jobqueue, clock.now(), queue=queue), "me", None, clock.now())
        gone[queue] = app.jobqueue.cancel(submitted(app.jobqueue, clock.now(), queue=queue), "me", None, clock.now())

    def left(jobs: dict[str, Job]) -> list[str]:
        return [queue for queue, job in jobs.items() if app.index.job(job.id)]

    janitor = app.janitor("janitor")
    clock.pass_by(2 * 86400)
    assert sum(each.count for each in expired(app)) == janitor.purge() == 3
    assert [left(each) for each in (done, dead, gone)] == [
        ["default", "long"], ["default", "long"], ["default", "long"],
    ]  # fmt: skip

    clock.pass_by(98 * 86400)
    while janitor.purge():
        pass
    assert [left(each) for each in (done, dead, gone)] == [["long"], ["default", "long"], ["long"]]
    found = app.index.job(done["long"].id)
    assert found is not None and found.place is Place.DONE

    clock.pass_by(101 * 86400)
    while janitor.purge():
        pass
    assert left(done) == []
    assert expired(app) == []
