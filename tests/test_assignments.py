"""A job that is assigned to one consumer runs there, or anywhere once that one is gone; others pass it by."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pqfs.assignments import Assignments
from pqfs.errors import IllegalTransition
from pqfs.index import Index
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome, State
from pqfs.rebuild import Rebuild
from pqfs.why import why
from pqfs.wiring import App
from tests.opened import app_of, consumer, live
from tests.shell import Shell
from tests.world import SettableClock, invariants, submitted

QUEUES = ["default"]


@pytest.fixture
def app(jobqueue: JobQueue, clock: SettableClock) -> App:
    return app_of(jobqueue, clock)


def _assigned(app: App, program: str = "consumer-03", **more: object) -> Job:
    job = submitted(app.jobqueue, app.clock.now(), **more)  # type: ignore[arg-type]
    return app.jobqueue.assign(job, program, "ann", "it has the licence", app.clock.now())


def _claimed(app: App, owner: str, queues: list[str] | None = None) -> list[str]:
    return [job.id for job in app.jobqueue.claim(owner, queues or QUEUES, 10, app.clock.now())]


def test_an_assigned_job_is_claimed_by_every_start_of_its_consumer_and_by_nobody_else(app: App) -> None:
    job = _assigned(app)

    assert _claimed(app, "consumer-00.1.aa") == []
    assert _claimed(app, "consumer-03.2.bb") == [job.id]
    [running] = app.index.jobs(State.PROCESSING, None, "~", 10)
    assert app.spool.start(running)
    app.jobqueue.end(running, Outcome(Kind.FAILED, "not yet"), app.clock.now())
    app.clock.pass_by(3600.0)  # type: ignore[attr-defined]
    assert _claimed(app, "consumer-00.3.cc") == []
    assert _claimed(app, "consumer-03.4.dd") == [job.id]
    invariants(app.spool, app.index)


def test_a_consumer_takes_what_is_assigned_to_it_in_the_order_of_all(app: App) -> None:
    now = app.clock.now()
    low, high = (submitted(app.jobqueue, now, name, priority=at) for name, at in ((b"low", -1), (b"high", 5)))
    assigned = _assigned(app)

    assert _claimed(app, "consumer-03.1.aa") == [high.id, assigned.id, low.id]


def test_a_paused_or_foreign_queue_keeps_an_assigned_job(app: App) -> None:
    with app.index.transaction():
        app.index.create_queue("mail", app.clock.now())
    _assigned(app, queue="mail")

    assert _claimed(app, "consumer-03.1.aa") == []


def test_an_assignment_survives_the_loss_of_the_index(
    app: App, second_index: Callable[[], Index], clock: SettableClock
) -> None:
    job, held = _assigned(app), _assigned(app, name=b"held")
    app.jobqueue.hold(held, "ann", None, clock.now())
    with app.index.transaction():
        for each in (job, held):
            app.index.engine.run("delete_job", {"id": each.id, "state": app.jobqueue.job(each.id).state})

    Rebuild(app.jobqueue, app.owners, clock).run()

    assert {app.jobqueue.job(each.id).assigned_to for each in (job, held)} == {"consumer-03"}
    assert app.jobqueue.job(held.id).state is State.HELD


def test_what_runs_or_has_ended_can_not_be_assigned(app: App) -> None:
    job = submitted(app.jobqueue, app.clock.now())
    _claimed(app, "consumer-00.1.aa")

    for seen in (job, app.jobqueue.job(job.id)):
        with pytest.raises(IllegalTransition):
            app.jobqueue.assign(seen, "consumer-03", "ann", None, app.clock.now())

    assert app.jobqueue.job(job.id).assigned_to is None
    assert "assigned_to" not in app.spool.read_meta(job.id)


def test_who_steers_a_job_that_was_steered_since_he_looked_forgets_nothing_at_a_rebuild(app: App) -> None:
    now, queue = app.clock.now(), app.jobqueue
    seen, other = (submitted(queue, now, name) for name in (b"a", b"b"))

    queue.hold(seen, "ann", None, now)
    queue.assign(seen, "consumer-03", "bob", None, now)
    queue.assign(other, "consumer-03", "ann", None, now)
    queue.prioritise(queue.job(other.id), 7, "cid", None, now)
    queue.hold(other, "bob", None, now)

    assert app.spool.read_meta(seen.id)["held"] and app.spool.read_meta(seen.id)["assigned_to"] == "consumer-03"
    told = app.spool.read_meta(other.id)
    assert (told["held"], told["assigned_to"], told["priority"]) == (True, "consumer-03", 7)
    queue.assign(seen := queue.job(seen.id), None, "ann", None, now)
    queue.release(seen, "bob", None, now)
    assert not {"held", "assigned_to"} & app.spool.read_meta(seen.id).keys()


# -------------------------------------------------------------------- when its consumer is gone


def test_a_job_whose_consumer_stays_away_for_a_lease_is_everybodys(app: App, clock: SettableClock) -> None:
    job, assignments = _assigned(app), Assignments(app.jobqueue, app.owners, clock)
    assert assignments.look() == 0
    clock.pass_by(app.settings.consume.lease - 1)
    assert assignments.look() == 0
    assert _claimed(app, "consumer-00.1.aa") == []

    clock.pass_by(1)

    assert assignments.look() == 1
    assert assignments.look() == 0
    assert app.index.events(job.id)[-1].reason == "consumer-03 is gone"
    assert "assigned_to" not in app.spool.read_meta(job.id)
    assert _claimed(app, "consumer-00.1.aa") == [job.id]
    invariants(app.spool, app.index)


def test_a_consumer_that_is_started_again_keeps_what_is_assigned_to_it(app: App, clock: SettableClock) -> None:
    _assigned(app)
    assignments = Assignments(app.jobqueue, app.owners, clock)
    assignments.look()
    clock.pass_by(20)
    lock = live(app, "consumer-03")
    consumer(app, lock.name)
    assert assignments.look() == 0
    with app.index.transaction():
        app.index.forget_consumer(lock.name)
    lock.release()
    clock.pass_by(20)

    assert assignments.look() == 0
    clock.pass_by(app.settings.consume.lease)
    assert assignments.look() == 1


def test_a_job_whose_consumer_does_not_serve_its_queue_is_everybodys_at_once(app: App, clock: SettableClock) -> None:
    job = _assigned(app)
    lock = live(app, "consumer-03")
    consumer(app, lock.name, queues=("mail",))

    assert Assignments(app.jobqueue, app.owners, clock).look() == 1

    assert app.index.events(job.id)[-1].reason == "consumer-03 does not serve queue default"
    lock.release()


# -------------------------------------------------------------------- in words


def test_why_names_the_consumer_who_assigned_it_and_what_keeps_it(app: App, clock: SettableClock) -> None:
    job = _assigned(app)

    said = " ".join(why(app, job.id).sentences)
    assert "Only consumer-03 may claim it, as ann at" in said
    assert "it has the licence" in said
    assert "is not alive; once it has been gone for 30 seconds, all may claim the job" in said


# -------------------------------------------------------------------- on the command line


def test_a_person_assigns_a_job_to_a_consumer_that_lives_and_takes_it_back(shell: Shell) -> None:
    job, app = shell.submit(), shell.app()
    lock = live(app, "consumer-03")
    consumer(app, lock.name, queues=("default",))

    assert shell("jobs", "assign", job[:30], "consumer-03", "--reason", "it has the licence") == 0
    assert shell.out.strip() == job
    assert shell.items("jobs", "show", job)[0]["assigned_to"] == "consumer-03"
    assert shell("why", job) == 0
    assert "Only consumer-03 may claim it, as cli:" in shell.out
    assert shell.process("consume", "--drain").returncode == 0
    assert shell.state(job) == "pending"

    assert shell.items("jobs", "assign", job, "--anybody") == [{"id": job, "done": True, "why": None}]
    assert shell.process("consume", "--drain").returncode == 0
    assert shell.state(job) == "completed"
    lock.release()
    app.close()


def test_a_job_is_not_assigned_to_who_does_not_live_or_does_not_serve_it(shell: Shell) -> None:
    job, app = shell.submit(), shell.app()
    lock = live(app, "consumer-00")
    consumer(app, lock.name, queues=("mail",))

    assert shell("jobs", "assign", job, "consumer-09") == 4
    assert "There are: consumer-00" in shell.err
    assert shell("jobs", "assign", job, "consumer-00") == 1
    assert "consumer-00 does not serve queue default" in shell.err
    assert shell("jobs", "assign", job) == 1
    assert shell("jobs", "assign", job, "consumer-00", "--anybody") == 1
    assert shell("jobs", "assign", "0199", "consumer-00") == 4

    assert shell.items("jobs", "show", job)[0]["assigned_to"] is None
    lock.release()
    app.close()
