"""What recovery makes of an index that is older than the tree, and of jobs that can not be repaired."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from pqfs.errors import IndexGone
from pqfs.index import Index
from pqfs.index.sqlite import SqliteEngine
from pqfs.jobqueue import JobQueue
from pqfs.model import Kind, Outcome, State
from pqfs.settings import Loaded
from pqfs.wiring import App, open_app
from tests.opened import app_of, die
from tests.world import SettableClock, invariants, submitted, write_output


@pytest.fixture
def app(jobqueue: JobQueue, clock: SettableClock) -> App:
    return app_of(jobqueue, clock)


def _complete(app: App) -> None:
    """Claim the one job that waits and complete it."""
    (job,) = app.jobqueue.claim("consumer.1.a", ["default"], 1, app.clock.now())
    assert app.spool.start(job)
    size, digest = write_output(app.spool, job)
    app.jobqueue.end(job, Outcome(Kind.DONE, output_size=size, output_sha256=digest), app.clock.now())


@pytest.fixture
def restored(app: App) -> Iterator[App]:
    """A spool whose job was completed after the backup that has taken the place of its index."""
    submitted(app.jobqueue, app.clock.now())
    backup = app.spool.path("run/backup.db")
    app.index.engine.backup(str(backup))
    _complete(app)
    for path in app.spool.root.glob("index.db*"):
        path.unlink()
    shutil.copy(backup, app.spool.path("index.db"))
    backup.unlink()
    index = Index(SqliteEngine(app.spool.path("index.db")))
    yield app_of(JobQueue(app.spool, index, app.settings), app.clock)  # type: ignore[arg-type]
    index.close()


def test_a_job_completed_after_the_backup_does_not_run_again_when_it_is_restored(restored: App) -> None:
    (job,) = restored.jobqueue.claim("consumer.1.b", ["default"], 1, restored.clock.now())
    assert not restored.spool.start(job), "there is nothing in ready/ to run"

    restored.jobqueue.finish([(job, Outcome(Kind.LOST, "not where it belongs"))], restored.clock.now())
    restored.recovery().reap(die(restored, "consumer"))
    restored.clock.pass_by(3.0)  # type: ignore[attr-defined]
    restored.recovery().reconcile()

    found = restored.jobqueue.job(job.id)
    assert found.state is State.COMPLETED
    assert len(list(restored.spool.path("outbox").iterdir())) == 1
    assert restored.spool.path(f"outbox/{found.output}").exists()


def test_a_payload_in_done_is_never_brought_back_to_wait(restored: App) -> None:
    (job,) = restored.index.jobs(State.PENDING, None, "~", 10)

    assert not restored.spool.settle(job)

    assert len(list(restored.spool.path("done").glob("*/*"))) == 1


def test_a_meta_file_with_absurd_values_holds_up_no_adoption(app: App) -> None:
    now = app.clock.now()
    arriver = die(app, "ingester")
    jobs = [submitted(app.jobqueue, now, name=b"%d" % number, arriver=arriver) for number in range(3)]
    for job in jobs[:2]:
        cancelled = app.jobqueue.job(app.jobqueue.cancel(job, "me", None, now).id)
        with app.index.transaction():
            assert app.index.delete(cancelled)
        shutil.move(next(app.spool.path("cancelled").iterdir()), app.spool.path(f"ready/{arriver}"))
    app.spool.path(f"meta/{jobs[0].id}.json").write_text(json.dumps({"priority": 10**30, "ready_at": "soon"}))

    app.recovery().reap(arriver)

    assert [job.state for job in app.index.jobs(None, None, "~", 10)] == [State.PENDING] * 3
    assert app.jobqueue.job(jobs[0].id).priority == 1000
    invariants(app.spool, app.index)


def test_an_index_that_was_removed_while_open_takes_no_more_commits(app: App) -> None:
    app.spool.path("index.db").unlink()

    with pytest.raises(IndexGone, match="was removed or exchanged"), app.index.transaction():
        pytest.fail("the transaction began")


def test_nobody_starts_an_empty_index_beside_a_spool_that_holds_jobs(app: App) -> None:
    submitted(app.jobqueue, app.clock.now())
    for path in app.spool.root.glob("index.db*"):
        path.unlink()

    with pytest.raises(IndexGone, match="the spool holds jobs"):
        open_app(Loaded(app.settings, {}, None))

    assert not app.spool.path("index.db").exists()
