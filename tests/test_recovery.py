"""What recovery makes of an index that is older than the tree, and of jobs that can not be repaired."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.errors import IndexGone
from pqfs.index import Index, Settlement
from pqfs.index.sqlite import SqliteEngine
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome, Place, State
from pqfs.naming import Parked
from pqfs.recovery import Repairs
from pqfs.retry import Budget
from pqfs.settings import Loaded
from pqfs.wiring import App, open_app
from tests.opened import app_of, die, live, run
from tests.opened import consumer as registered
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


@pytest.mark.sqlite
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


@pytest.mark.sqlite
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


@pytest.mark.sqlite
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


def _leased(app: App, owner: str) -> Job:
    """The one job that waits, leased to an owner."""
    submitted(app.jobqueue, app.clock.now())
    registered(app, owner)
    (job,) = app.jobqueue.claim(owner, ["default"], 1, app.clock.now())
    return job


def _charges(job: Job) -> tuple[int, int, int]:
    return job.failures, job.crashes, job.losses


def test_a_lease_that_had_not_started_costs_nothing_when_its_owner_dies(app: App) -> None:
    owner = die(app, "consumer")
    job = _leased(app, owner)

    assert app.recovery().reap(owner) == Repairs(released=1)

    found = app.jobqueue.job(job.id)
    assert (found.state, _charges(found)) == (State.PENDING, (0, 0, 0))
    invariants(app.spool, app.index)


def test_what_ran_when_the_machine_went_down_is_not_charged_a_crash(app: App) -> None:
    """The same death on the same boot is charged; the slot file says that it ran both times."""
    charged = {}
    for boot in ("this boot", "the boot before"):
        owner = die(app, "consumer")
        job = _leased(app, owner)
        assert app.spool.start(job)
        run(app, owner, job.id, job.attempt)
        lock = app.spool.path(f"run/{owner}.lock")
        if boot == "the boot before":
            lock.write_text(json.dumps({**json.loads(lock.read_text()), "boot_id": boot}))
        app.recovery().reap(owner)
        charged[boot] = _charges(app.jobqueue.job(job.id))
        app.jobqueue.cancel(app.jobqueue.job(job.id), "me", None, app.clock.now())

    assert charged == {"this boot": (0, 1, 0), "the boot before": (0, 0, 1)}


def test_recovery_leaves_alone_what_a_living_consumer_runs(app: App) -> None:
    owner = live(app, "consumer")
    job = _leased(app, owner.name)
    assert app.spool.start(job)

    assert app.recovery().reconcile().is_empty

    assert app.spool.find(job.id) == [app.spool.payload_path(job)]
    owner.release()


def test_an_output_that_can_not_be_published_now_is_kept_until_it_can(app: App) -> None:
    owner = die(app, "consumer")
    job = _leased(app, owner)
    assert app.spool.start(job)
    size, digest = write_output(app.spool, job)
    staged = app.spool.path(app.spool.scratch_path(owner, job.id, job.attempt, "out"))
    content = staged.read_bytes()
    kept = app.spool.path("run/kept")
    (done,) = app.jobqueue.finish([(job, Outcome(Kind.DONE, output_size=size, output_sha256=digest))], 1.0)
    stranger = app.spool.path(app.spool.output_path(done.queue, str(done.output)))
    stranger.rename(kept)
    stranger.write_bytes(b"put here by hand")
    kept.rename(staged)  # as a crash right after the commit left it

    assert app.recovery().reap(owner).stuck == 1
    assert staged.read_bytes() == content
    assert stranger.read_bytes() == b"put here by hand"

    stranger.unlink()
    app.recovery().reap(owner)
    assert stranger.read_bytes() == content
    invariants(app.spool, app.index)


def _unregistered(app: App, arriver: str) -> Path:
    """A payload that its arriver has renamed and not committed."""
    job = submitted(app.jobqueue, app.clock.now(), arriver=arriver)
    cancelled = app.jobqueue.cancel(job, "me", None, app.clock.now())
    with app.index.transaction():
        assert app.index.delete(app.jobqueue.job(cancelled.id))
    waiting = app.spool.path(f"ready/{arriver}")
    shutil.move(next(app.spool.path("cancelled").iterdir()), waiting)
    (payload,) = waiting.iterdir()
    return payload


def test_while_a_volume_is_in_alarm_a_payload_is_adopted_under_a_new_inode(app: App) -> None:
    arriver = die(app, "ingester")
    payload = _unregistered(app, arriver)
    before, content = payload.stat().st_ino, payload.read_bytes()
    alarm = app.spool.raise_alarm("the disk is bad")

    try:
        assert app.recovery().reap(arriver).adopted == 1
    finally:
        alarm.unlink()

    (payload,) = app.spool.path(f"ready/{arriver}").iterdir()
    assert payload.stat().st_ino != before
    assert payload.read_bytes() == content
    invariants(app.spool, app.index)


def test_an_owner_is_forgotten_only_when_nothing_of_it_is_left(app: App) -> None:
    arriver = die(app, "ingester")
    payload = _unregistered(app, arriver)

    with payload.open("ab"):
        app.recovery().reap(arriver)
        assert arriver in app.owners.names(), "somebody still writes what it took, so it is asked for again"

    assert app.recovery().reap(arriver).adopted == 1
    assert arriver not in app.owners.names()


def test_a_payload_whose_ghost_another_dead_ingester_was_dropping_is_adopted_at_once(app: App) -> None:
    arriver, other = die(app, "ingester"), die(app, "ingester")
    payload = _unregistered(app, arriver)
    found = payload.stat()
    os.link(payload, app.spool.path(f"rejected/.{other}.{found.st_size}.{found.st_mtime_ns}.a.txt"))

    assert app.recovery().reap(arriver).adopted == 1

    assert app.spool.entries("rejected", hidden=True) == []
    invariants(app.spool, app.index)


@pytest.mark.parametrize("state", [State.HELD, State.CANCELLED, State.FAILED])
def test_a_payload_whose_claim_a_loss_of_power_took_back_is_not_lost_when_somebody_steers_its_job(
    app: App, state: State
) -> None:
    """Found by the simulation: it lay under an attempt that the row did not know, and nobody looked for it there."""
    job = submitted(app.jobqueue, app.clock.now())
    claimed = replace(job, attempt=job.attempt + 1)
    assert app.spool.move(app.spool.payload_path(job), app.spool.payload_path(claimed, Place.CLAIMED))
    with app.index.transaction():
        steered = app.index.steer(Settlement(job, state, Budget(0, 0, 0), job.ready_at, "by ann"), app.clock.now())

    app.clock.pass_by(3.0)  # type: ignore[attr-defined]
    app.recovery().reconcile()

    found = app.jobqueue.job(job.id)
    assert steered and (found.state, found.error, found.confirmed) == (state, "by ann", True)
    assert app.spool.exists(app.spool.payload_path(found))
    invariants(app.spool, app.index)


def test_the_old_name_of_a_refused_duplicate_goes_when_a_loss_of_power_brings_it_back(app: App) -> None:
    """Found by the enumerated crashes: it waited as a file with another hard link, for ten minutes."""
    arriver = die(app, "ingester")
    job = submitted(app.jobqueue, app.clock.now())
    parked = Parked(job.id[:-1] + ("0" if job.id[-1] != "0" else "1"), "default", "a.txt")
    old = app.spool.path(app.spool.ready_path(arriver, parked))
    old.parent.mkdir(exist_ok=True)
    old.write_bytes(b"payload")
    app.jobqueue.refuse(arriver, parked, "it is a duplicate", app.clock.now())
    (refused,) = (path for path in app.spool.path("rejected").iterdir() if not path.name.endswith(".json"))
    os.link(refused, old)

    app.recovery().reap(arriver)

    assert not old.exists()
    assert refused.exists()
    invariants(app.spool, app.index)
