"""fsck finds what neither a row nor a rule explains, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from pqfs.flaws import Finding
from pqfs.fsck import check
from pqfs.index import Completion, Settlement
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome, Place, State
from pqfs.modes import rules
from pqfs.naming import output_name
from pqfs.retry import Budget
from pqfs.wiring import App
from tests.opened import app_of, die, live
from tests.world import SettableClock, invariants, new_id, submitted, write_output


@pytest.fixture
def app(jobqueue: JobQueue, clock: SettableClock) -> App:
    return app_of(jobqueue, clock)


def _names(app: App) -> list[str]:
    return [finding.name for finding in check(app)]


def _only(app: App) -> Finding:
    [finding] = check(app)
    return finding


def _claimed(app: App, owner: str) -> Job:
    submitted(app.jobqueue, app.clock.now())
    [job] = app.jobqueue.claim(owner, ["default"], 1, app.clock.now())
    assert app.spool.start(job)
    return job


def _repair(app: App) -> None:
    app.janitor("fsck").look()
    app.recovery().rebuild()


def test_an_empty_spool_is_clean(app: App) -> None:
    assert _names(app) == []


def test_what_has_its_rights_at_the_top_of_a_spool_is_explained(app: App) -> None:
    for rule in rules(app.settings):
        if not app.spool.exists(rule.path):
            app.spool.path(rule.path).write_text("{}")

    assert _names(app) == []


def test_a_spool_with_a_job_in_every_state_is_clean(app: App, clock: SettableClock) -> None:
    now = clock.now()
    lock = live(app, "consumer-00")
    completed, failed = _claimed(app, lock.name), _claimed(app, lock.name)
    write_output(app.spool, completed)
    app.jobqueue.end(completed, Outcome(Kind.DONE), now)
    app.jobqueue.end(failed, Outcome(Kind.PERMANENT, "no"), now)
    app.jobqueue.hold(submitted(app.jobqueue, now), "me", None, now)
    app.jobqueue.cancel(submitted(app.jobqueue, now), "me", None, now)
    _claimed(app, lock.name)
    submitted(app.jobqueue, now)

    assert _names(app) == []
    assert {state for _, state, _ in app.index.counts()} == set(State) - {State.UNPROCESSABLE}
    lock.release()


def test_a_row_whose_payload_is_nowhere_is_found(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    app.spool.remove(app.spool.payload_path(job))

    finding = _only(app)

    assert (finding.name, finding.job) == ("payload missing", job.id)


def test_a_payload_in_another_place_is_found_once_and_repaired(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    app.jobqueue.cancel(job, "me", None, clock.now())
    cancelled = app.index.job(job.id)
    assert cancelled is not None
    app.spool.move(app.spool.payload_path(cancelled), f"claimed/{job.id}.1.default.a.txt")

    assert _only(app).name == "payload misplaced"

    _repair(app)
    assert _names(app) == []
    invariants(app.spool, app.index)


def test_a_payload_in_two_places_is_found_and_neither_is_touched(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    app.spool.path(f"dead/{job.id}.default.a.txt").write_bytes(b"other")

    assert _only(app).name == "payload in two places"

    _repair(app)
    assert _only(app).path == f"dead/{job.id}.default.a.txt"


@pytest.mark.parametrize("place", ["ready/gone", "dead", "cancelled", "done/2027-01-15", "claimed"])
def test_a_payload_that_no_row_knows_is_found_and_registered(app: App, place: str) -> None:
    app.spool.make_directory(place)
    attempt = "1." if place == "claimed" else ""
    app.spool.path(f"{place}/{new_id()}.{attempt}default.a.txt").write_bytes(b"payload")

    assert _only(app).name == "payload without a row"

    _repair(app)
    assert _names(app) == []
    assert sum(jobs for _, _, jobs in app.index.counts()) == 1


def test_a_payload_that_a_living_arriver_has_just_taken_is_its_own(app: App) -> None:
    lock = live(app, "ingester")
    app.spool.make_directory(f"ready/{lock.name}")
    app.spool.path(f"ready/{lock.name}/{new_id()}.default.a.txt").write_bytes(b"half of")

    assert _names(app) == []

    app.recovery().rebuild()
    assert app.index.counts() == []
    lock.release()


def test_a_completed_job_whose_output_was_not_published_is_found_and_published(
    app: App, clock: SettableClock
) -> None:
    owner = die(app, "consumer-00")
    job = _claimed(app, owner)
    write_output(app.spool, job)
    output = output_name(clock.now(), job.id, job.name)
    with app.index.transaction():
        app.index.complete([Completion(job, Place.DONE, output, Outcome(Kind.DONE))], clock.now())
    clock.pass_by(5)

    assert "not published" in _names(app)

    _repair(app)
    assert _names(app) == []
    assert app.spool.exists(f"outbox/{output}")
    invariants(app.spool, app.index)


def test_a_job_of_a_dead_owner_is_found_and_given_back(app: App, clock: SettableClock) -> None:
    owner = die(app, "consumer-00")
    job = _claimed(app, owner)

    assert {"owner dead", "lock of a dead owner"} <= set(_names(app))

    _repair(app)
    assert _names(app) == []
    again = app.index.job(job.id)
    assert again is not None
    assert again.state is State.PENDING


def test_scratch_of_a_dead_owner_is_found_and_removed(app: App) -> None:
    owner = die(app, "consumer-00")
    app.spool.make_directory(f"work/{owner}")
    app.spool.path(f"work/{owner}/{new_id()}.1.part").write_bytes(b"half")

    assert "scratch of a dead owner" in _names(app)

    _repair(app)
    assert _names(app) == []


def test_a_row_that_nobody_confirms_is_found_once_it_is_old(app: App, clock: SettableClock) -> None:
    lock = live(app, "consumer-00")
    job = _claimed(app, lock.name)
    with app.index.transaction():
        app.index.settle(Settlement(job, State.FAILED, Budget(1), clock.now(), "no"), clock.now())

    assert _names(app) == []
    clock.pass_by(11)
    assert _only(app).name == "not in place"

    _repair(app)
    assert _names(app) == []
    lock.release()


def test_a_payload_that_somebody_wrote_while_it_waited_is_found(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    with app.spool.path(app.spool.payload_path(job)).open("ab") as file:
        file.write(b"more")

    assert _only(app).name == "size differs"


@pytest.mark.parametrize(
    "path", ["strange", "ready/x", "dead/x", "claimed/x", "done/x/", "meta/x", "rejected/x", "receipts/X"]
)
def test_a_name_that_pqfs_did_not_make_is_found(app: App, path: str) -> None:
    target = app.spool.path(path)
    target.mkdir() if path.endswith("/") else target.write_bytes(b"")

    assert _only(app).name == "unexplained name"


def test_a_payload_that_became_a_link_is_found_and_not_followed(app: App, clock: SettableClock) -> None:
    job = submitted(app.jobqueue, clock.now())
    path = app.spool.path(app.spool.payload_path(job))
    path.unlink()
    os.symlink("/etc/passwd", path)

    assert _only(app).name == "payload exchanged"


def test_a_job_that_changes_while_it_is_looked_at_is_no_finding(
    app: App, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted(app.jobqueue, clock.now())
    real, asked = app.spool.status, 0

    def status(relative: str) -> os.stat_result | None:
        """Between the row and the look at the tree the job is cancelled."""
        nonlocal asked
        asked += 1
        if asked == 1:
            app.jobqueue.cancel(job, "me", None, clock.now())
        return real(relative)

    monkeypatch.setattr(app.spool, "status", status)

    assert _names(app) == []


def test_progress_counts_rows_and_files(app: App, clock: SettableClock) -> None:
    for _ in range(3):
        submitted(app.jobqueue, clock.now())
    seen: dict[str, int] = {}

    list(check(app, lambda what, count: seen.update({what: count})))

    assert seen == {"rows": 3, "files": 3}


def test_fsck_changes_nothing(app: App, clock: SettableClock) -> None:
    owner = die(app, "consumer-00")
    job = _claimed(app, owner)
    before = replace(job)

    list(check(app))

    assert app.index.job(job.id) == before
    assert app.owners.is_dead(owner)


# -------------------------------------------------------------------- outputs whose rows have gone


def test_the_output_of_a_job_that_a_person_has_deleted_is_explained(app: App, clock: SettableClock) -> None:
    lock = live(app, "consumer-00")
    job = _claimed(app, lock.name)
    write_output(app.spool, job)
    app.jobqueue.end(job, Outcome(Kind.DONE), clock.now())
    done = app.jobqueue.job(job.id)

    assert app.jobqueue.delete(done, "me", "no longer needed", clock.now())

    assert app.spool.exists(f"outbox/{done.output}")
    assert _names(app) == []
    lock.release()


def test_an_output_that_is_older_than_any_row_is_kept_is_explained(app: App, clock: SettableClock) -> None:
    name = output_name(clock.now(), new_id(), b"old.txt")
    app.spool.path(f"outbox/{name}").write_bytes(b"output")
    assert _names(app) == ["output without a row"]

    clock.pass_by(app.settings.keep.seconds("rows") + 1)

    assert _names(app) == []
