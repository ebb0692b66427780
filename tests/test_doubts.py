"""What a consumer can not rely on costs nothing: an answer that got lost, a handler that is not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.clock import SystemClock
from pqfs.handlersettings import CommandHandler
from pqfs.index import Index
from pqfs.jobqueue import JobQueue
from pqfs.model import State
from pqfs.settings import Settings
from pqfs.spool import Spool
from tests.consuming import Forgetful, consume_until_empty
from tests.world import invariants, submitted


@pytest.mark.sqlite
def test_jobs_whose_claim_was_committed_and_its_answer_lost_are_run_by_who_has_claimed_them(
    jobqueue: JobQueue, spool: Spool, settings: Settings, tmp_path: Path
) -> None:
    index = Index(Forgetful(spool.root / "index.db", "claim"))
    forgetful = JobQueue(spool, index, settings)
    job = submitted(forgetful, SystemClock().now())

    consume_until_empty(forgetful, tmp_path)
    index.close()

    done = jobqueue.job(job.id)
    assert (done.state, done.attempt) == (State.COMPLETED, 1)
    invariants(spool, jobqueue.index)


def test_a_handler_that_is_not_there_costs_no_job_an_attempt_and_no_other_queue_its_consumer(
    jobqueue: JobQueue, spool: Spool, index: Index, settings: Settings, tmp_path: Path
) -> None:
    program = tmp_path / "ocr"
    scans = replace(settings.defaults, handler=CommandHandler(command=(str(program), "{input}", "{output}")))
    jobqueue = JobQueue(spool, index, replace(settings, queues={"scans": scans}))
    with index.transaction():
        index.create_queue("scans", SystemClock().now())
    other = submitted(jobqueue, SystemClock().now())
    waiting = [submitted(jobqueue, SystemClock().now(), queue="scans") for _ in range(5)]

    consume_until_empty(jobqueue, tmp_path)

    assert jobqueue.job(other.id).state is State.COMPLETED
    left = [jobqueue.job(each.id) for each in waiting]
    assert {(job.state, job.failures, job.crashes) for job in left} == {(State.PENDING, 0, 0)}
    assert sum("was not found" in (job.error or "") for job in left) >= 1
    assert jobqueue.terms.shut(SystemClock().now()) == {"scans"}

    program.write_text('#!/bin/sh\ncp "$1" "$2"\n')
    program.chmod(0o755)
    consume_until_empty(JobQueue(spool, index, jobqueue.settings), tmp_path)

    assert {jobqueue.job(each.id).state for each in waiting} == {State.COMPLETED}
    invariants(spool, index)
