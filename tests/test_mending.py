"""Every kind of damage that fsck knows is made, found, repaired as its words say, and found no more."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.flaws import Finding, Flaw
from pqfs.fsck import check
from pqfs.index import Completion, Settlement
from pqfs.jobqueue import JobQueue
from pqfs.mending import Mending
from pqfs.model import Job, Kind, Outcome, Place, State
from pqfs.naming import output_name
from pqfs.retry import Budget
from pqfs.wiring import App
from tests.databases import behind
from tests.opened import app_of, die, live
from tests.world import SettableClock, invariants, new_id, submitted, write_output


@pytest.fixture
def app(jobqueue: JobQueue, clock: SettableClock) -> App:
    return app_of(jobqueue, clock)


def _found(app: App) -> list[Finding]:
    return list(check(app, deep=True))


def _repair(app: App) -> None:
    """What `pqfs fsck --repair` does."""
    app.janitor("fsck").look()
    mending = Mending(app.jobqueue, app.recovery(), app.owners, app.clock)
    for finding in _found(app):
        mending.mend(finding)


def _claimed(app: App, owner: str) -> Job:
    submitted(app.jobqueue, app.clock.now())
    [job] = app.jobqueue.claim(owner, ["default"], 1, app.clock.now())
    assert app.spool.start(job)
    return job


def _completed(app: App) -> Job:
    lock = live(app, "consumer-00")
    job = _claimed(app, lock.name)
    size, digest = write_output(app.spool, job)
    app.jobqueue.end(job, Outcome(Kind.DONE, output_size=size, output_sha256=digest), app.clock.now())
    app.spool.remove_tree(f"work/{lock.name}")
    lock.release()
    return app.jobqueue.job(job.id)


def _cancelled(app: App) -> Job:
    job = submitted(app.jobqueue, app.clock.now())
    return app.jobqueue.cancel(job, "me", None, app.clock.now())


def _payload(app: App, job: Job) -> Path:
    return app.spool.path(app.spool.payload_path(job))


def _age(path: Path) -> None:
    os.utime(path, (0, 0))


# -------------------------------------------------------------------- the damages


def counts_differ(app: App) -> None:
    submitted(app.jobqueue, app.clock.now())
    behind(app.index.engine, "UPDATE counts SET jobs = 7")


def stats_odd(app: App) -> None:
    with app.index.transaction():
        app.index.add_stats("default", app.clock.now() + 10 * 86400, completed=1)
        app.index.add_stats("default", app.clock.now(), failed=-3)


def payload_missing(app: App) -> None:
    for job in (_completed(app), _cancelled(app), submitted(app.jobqueue, app.clock.now())):
        _payload(app, job).unlink()


def payload_run_away(app: App) -> None:
    lock = live(app, "consumer-00")
    job = _claimed(app, lock.name)
    app.spool.remove(app.spool.payload_path(job))


def payload_exchanged(app: App) -> None:
    waiting, ended = submitted(app.jobqueue, app.clock.now()), _cancelled(app)
    _payload(app, waiting).unlink()
    _payload(app, waiting).symlink_to("/etc/passwd")
    _payload(app, ended).unlink()
    _payload(app, ended).mkdir()


def size_differs(app: App) -> None:
    with _payload(app, submitted(app.jobqueue, app.clock.now())).open("ab") as file:
        file.write(b"more")


def owner_dead(app: App) -> None:
    _claimed(app, die(app, "consumer-00"))


def not_in_place(app: App) -> None:
    lock = live(app, "consumer-00")
    job = _claimed(app, lock.name)
    with app.index.transaction():
        app.index.settle(Settlement(job, State.FAILED, Budget(1), app.clock.now(), "no"), app.clock.now())
    lock.release()
    app.clock.pass_by(11)  # type: ignore[attr-defined]


def not_published(app: App) -> None:
    lock = live(app, "consumer-00")
    job = _claimed(app, lock.name)
    size, digest = write_output(app.spool, job)
    completion = Completion(
        job,
        Place.DONE,
        output_name(app.clock.now(), job.id, job.name),
        Outcome(Kind.DONE, None, 0.0, None, 0.0, size, digest),
    )
    with app.index.transaction():
        app.index.complete([completion], app.clock.now())
    done = app.jobqueue.job(job.id)
    app.spool.settle(done)
    with app.index.transaction():
        app.index.confirm([done])
    lock.release()


def payload_misplaced(app: App) -> None:
    job = _cancelled(app)
    app.spool.move(app.spool.payload_path(job), f"dead/{job.id}.default.a.txt")


def payload_twice(app: App) -> None:
    job, other = submitted(app.jobqueue, app.clock.now()), submitted(app.jobqueue, app.clock.now(), b"b.txt")
    app.spool.path(f"dead/{job.id}.default.a.txt").write_bytes(b"other bytes")
    os.link(_payload(app, other), app.spool.path(f"dead/{other.id}.default.b.txt"))


def payload_kept(app: App) -> None:
    job = _cancelled(app)
    kept = _payload(app, job).read_bytes()
    with app.index.transaction():
        app.index.let_go(job.id)
        app.index.confirm_gone(job.id)
    _payload(app, job).write_bytes(kept)


def payload_unknown(app: App) -> None:
    app.spool.path(f"dead/{new_id()}.default.a.txt").write_bytes(b"payload")


def output_unknown(app: App) -> None:
    app.spool.path(f"outbox/{output_name(app.clock.now(), new_id(), b'a.txt')}").write_bytes(b"output")


def output_twice(app: App) -> None:
    job = _completed(app)
    app.spool.path(f"outbox/{output_name(app.clock.now() + 5, job.id, b'a.txt')}").write_bytes(b"again")


def output_stray(app: App) -> None:
    job = _completed(app)
    app.spool.make_directory("outbox/other")
    app.spool.move(f"outbox/{job.output}", f"outbox/other/{job.output}")


def output_altered(app: App) -> None:
    app.spool.path(f"outbox/{_completed(app).output}").write_bytes(b"OUTPUT")


def lock_of_dead(app: App) -> None:
    die(app, "ingester")


def scratch_of_dead(app: App) -> None:
    owner = die(app, "consumer-00")
    app.spool.make_directory(f"work/{owner}")
    app.spool.path(f"work/{owner}/{new_id()}.1.part").write_bytes(b"half")


def run_leftover(app: App) -> None:
    path = app.spool.path("run/consumer-00.4194305.0123abcd.slot")
    path.write_bytes(b"")
    _age(path)


def meta_orphan(app: App) -> None:
    path = app.spool.path(f"meta/{new_id()}.json")
    path.write_text("{}")
    _age(path)


def reason_missing(app: App) -> None:
    app.spool.path("rejected/0123456789ab.file").write_bytes(b"refused")


def reason_alone(app: App) -> None:
    path = app.spool.path("rejected/0123456789ab.reason.json")
    path.write_text("{}")
    _age(path)


def name_strange(app: App) -> None:
    for path in ("strange", "dead/x", "meta/x", "outbox/x", "run/x", "rejected/x"):
        app.spool.path(path).write_bytes(b"")
    job = submitted(app.jobqueue, app.clock.now())
    app.spool.path(f"meta/{job.id}.json").symlink_to("/etc/passwd")


DAMAGES: dict[Flaw, Callable[[App], None]] = {
    Flaw[function.__name__.upper()]: function
    for function in (
        counts_differ, stats_odd, payload_missing, payload_run_away, payload_exchanged, size_differs, owner_dead,
        not_in_place, not_published, payload_misplaced, payload_twice, payload_kept, payload_unknown, output_unknown,
        output_twice, output_stray, output_altered, lock_of_dead, scratch_of_dead, run_leftover, meta_orphan,
        reason_missing, reason_alone, name_strange,
    )
}  # fmt: skip


def _act_as_a_person(app: App, finding: Finding) -> None:
    """What the finding's words ask of somebody."""
    if finding.flaw is Flaw.PAYLOAD_RUN_AWAY:
        job = app.jobqueue.job(str(finding.job))
        app.jobqueue.end(job, Outcome(Kind.MISSING, "lost"), app.clock.now())
        app.clock.pass_by(60)  # type: ignore[attr-defined]
        app.janitor("fsck").look()
    else:
        app.spool.path(str(finding.path)).unlink()


def test_every_kind_of_finding_is_made_here_but_damage_of_the_index_itself() -> None:
    assert set(DAMAGES) == set(Flaw) - {Flaw.INDEX_DAMAGED}


@pytest.mark.parametrize("flaw", DAMAGES, ids=lambda flaw: flaw.name.lower())
def test_what_is_damaged_is_found_repaired_and_found_no_more(app: App, flaw: Flaw) -> None:
    DAMAGES[flaw](app)

    found = _found(app)
    assert flaw in {finding.flaw for finding in found}
    assert all(finding.explanation and finding.repair for finding in found)
    _repair(app)
    left = _found(app)
    assert [finding for finding in left if finding.is_mended] == []
    assert bool(left) == (not flaw.is_mended)
    for finding in left:
        _act_as_a_person(app, finding)
    _repair(app)
    assert _found(app) == []
    lost = {job.id for job in app.index.jobs(None, None, "~", 100) if job.error and "lost" in job.error}
    taken = {str(job.output) for job in app.index.jobs(State.COMPLETED, None, "~", 100)} if left else set()
    invariants(app.spool, app.index, lost=lost, taken=taken)


def test_a_job_whose_handler_deleted_its_input_is_noted_as_gone(app: App) -> None:
    job = _completed(app)
    _payload(app, job).unlink()

    [finding] = _found(app)
    assert "its handler, or a person, removed it" in finding.explanation
    _repair(app)

    assert app.jobqueue.job(job.id) == replace(job, place=Place.GONE)


def test_nothing_that_a_person_may_miss_is_removed(app: App) -> None:
    payload_twice(app)
    payload_kept(app)
    output_twice(app)

    _repair(app)

    kept = [path.read_bytes() for path in app.spool.path("rejected").iterdir() if path.suffix != ".json"]
    assert sorted(kept) == [b"again", b"other bytes", b"payload"]


def test_an_output_without_a_row_is_explained_after_the_repair(app: App) -> None:
    output_unknown(app)

    _repair(app)

    [job] = app.index.jobs(State.COMPLETED, None, "~", 10)
    assert (job.name, job.place, job.updated_at) == (b"a.txt", Place.GONE, app.clock.now())


def test_a_finding_that_is_over_when_it_is_to_be_repaired_changes_nothing(app: App) -> None:
    payload_missing(app)
    found = _found(app)
    for finding in found:
        app.spool.path(str(finding.path)).write_bytes(b"payload")  # somebody has put them back
    before = app.index.jobs(None, None, "~", 100)
    mending = Mending(app.jobqueue, app.recovery(), app.owners, app.clock)

    assert [mending.mend(finding) for finding in found] == [False] * 3
    assert app.index.jobs(None, None, "~", 100) == before
