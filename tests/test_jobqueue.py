"""The verbs of people, apart from crashes and races: what they change, and what they leave."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pqfs.errors import IllegalTransition, JobNotFound
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome, State
from tests.world import SettableClock, invariants, submitted

QUEUES = ["default"]


def _failed(jobqueue: JobQueue, now: float) -> Job:
    """A job whose handler said no for good."""
    submitted(jobqueue, now)
    (job,) = jobqueue.claim("consumer.1.a", QUEUES, 1, now)
    assert jobqueue.spool.start(job)
    jobqueue.end(job, Outcome(Kind.PERMANENT, "it is not a picture", started_at=now), now)
    return jobqueue.job(job.id)


def test_a_job_that_is_redriven_has_its_budgets_back_and_keeps_its_history(
    jobqueue: JobQueue, clock: SettableClock
) -> None:
    failed = _failed(jobqueue, clock.now())
    assert (failed.state, failed.failures) == (State.FAILED, 1)

    waiting = jobqueue.redrive(failed, "ann", "the disk was mended", clock.now())

    assert (waiting.state, waiting.failures, waiting.crashes, waiting.losses) == (State.PENDING, 0, 0, 0)
    assert [each.error for each in jobqueue.index.attempts(failed.id)] == ["it is not a picture"]
    assert [(each.verb, each.actor) for each in jobqueue.index.events(failed.id)][-1] == ("redrive", "ann")
    (again,) = jobqueue.claim("consumer.1.b", QUEUES, 1, clock.now())
    assert again.attempt == failed.attempt + 1
    invariants(jobqueue.spool, jobqueue.index)


def test_a_verb_that_was_meant_for_an_older_attempt_changes_nothing(jobqueue: JobQueue, clock: SettableClock) -> None:
    seen = _failed(jobqueue, clock.now())
    jobqueue.redrive(seen, "ann", None, clock.now())
    (again,) = jobqueue.claim("consumer.1.b", QUEUES, 1, clock.now())
    assert jobqueue.spool.start(again)
    jobqueue.end(again, Outcome(Kind.PERMANENT, "again", started_at=clock.now()), clock.now())

    with pytest.raises(IllegalTransition):
        jobqueue.redrive(seen, "bob", None, clock.now())

    assert jobqueue.job(seen.id).state is State.FAILED
    invariants(jobqueue.spool, jobqueue.index)


def test_a_cancelled_job_never_runs_and_is_told_who_withdrew_it(jobqueue: JobQueue, clock: SettableClock) -> None:
    job = submitted(jobqueue, clock.now())

    jobqueue.cancel(job, "ann", "sent twice", clock.now())

    assert jobqueue.claim("consumer.1.a", QUEUES, 1, clock.now()) == []
    assert [(each.actor, each.reason) for each in jobqueue.index.events(job.id)] == [("ann", "sent twice")]
    with pytest.raises(IllegalTransition):
        jobqueue.hold(replace(job, state=State.CANCELLED), "bob", None, clock.now())
    invariants(jobqueue.spool, jobqueue.index)


def test_a_beginning_that_several_ids_share_names_no_job_and_says_why(
    jobqueue: JobQueue, clock: SettableClock
) -> None:
    first, second = (submitted(jobqueue, clock.now(), name) for name in (b"a.txt", b"b.txt"))
    shared = first.id[:8]
    assert second.id.startswith(shared), "they were made in one instant"

    with pytest.raises(JobNotFound, match="whose id alone begins with"):
        jobqueue.job(shared)

    assert jobqueue.job(first.id).id == first.id
