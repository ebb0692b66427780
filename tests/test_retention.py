"""What the settings no longer keep is counted before anybody removes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pqfs.jobqueue import JobQueue
from pqfs.model import Kind, Outcome
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
