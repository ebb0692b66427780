"""What a consumer holds is not lost with a sync, with an answer, or with all that it has made."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pqfs.clock import SystemClock
from pqfs.files import Files, SyncFailed
from pqfs.holding import Batch, Ending
from pqfs.index import Index
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome, State
from pqfs.settings import Settings
from pqfs.spool import Spool
from tests.consuming import Forgetful, consume_until_empty
from tests.opened import app_of
from tests.world import SettableClock, invariants, new_id, submitted


class FailingOnce(Files):
    """The first sync of an output fails, or a later one, and from then on the disk is well."""

    def __init__(self, sound: int = 0) -> None:
        self.failed: list[bytes] = []
        self._sound = sound

    def fsync(self, directory: int, path: bytes) -> None:
        if not self.failed and path.endswith(b".out"):
            self._sound -= 1
            if self._sound < 0:
                self.failed.append(path)
                raise SyncFailed(errno.EIO, os.strerror(errno.EIO))
        super().fsync(directory, path)


def test_after_a_failed_sync_an_output_is_made_again_and_never_synced_a_second_time(
    spool: Spool, index: Index, settings: Settings, tmp_path: Path
) -> None:
    files = FailingOnce()
    failing = Spool(spool.root, files, alarms=tmp_path)
    jobqueue = JobQueue(failing, index, settings)
    job = submitted(jobqueue, SystemClock().now())

    left = consume_until_empty(jobqueue, tmp_path)

    assert files.failed and left == [], "what could not be synced is not kept for a second try"
    waiting = jobqueue.job(job.id)
    assert (waiting.state, waiting.failures, waiting.crashes) == (State.PENDING, 0, 0)
    assert "sync" in str(waiting.error)
    assert failing.alarm.exists(), "the volume is under suspicion until a person has looked at it"
    assert spool.entries("outbox") == []
    failing.close()
    invariants(spool, index)


@pytest.mark.sqlite
def test_a_sync_that_fails_after_a_commit_whose_answer_got_lost_costs_no_output(
    jobqueue: JobQueue, spool: Spool, settings: Settings, tmp_path: Path
) -> None:
    app = app_of(jobqueue, SettableClock())
    files = FailingOnce(sound=1)
    failing = Spool(spool.root, files, alarms=tmp_path)
    index = Index(Forgetful(spool.root / "index.db"))
    forgetful = JobQueue(failing, index, settings)
    job = submitted(forgetful, SystemClock().now())

    consume_until_empty(forgetful, tmp_path)
    index.close()
    failing.close()
    app.janitor("janitor").look()

    assert files.failed
    done = app.jobqueue.job(job.id)
    assert (done.state, done.attempt) == (State.COMPLETED, 1)
    assert app.spool.entries("outbox") == [done.output]
    invariants(app.spool, app.index)


class Robbed(JobQueue):
    """Whoever believes a consumer dead takes its scratch away, right before it ends what it has run."""

    is_robbed = False

    def finish(self, ended: Sequence[tuple[Job, Outcome]], *more: Any) -> list[Job]:
        """The first time there is nothing left."""
        if not self.is_robbed:
            self.is_robbed = True
            self.spool.remove_tree(f"work/{ended[0][0].owner}")
        return super().finish(ended, *more)


def test_who_was_declared_dead_and_has_nothing_left_of_what_it_made_does_not_try_to_publish_it_for_ever(
    spool: Spool, index: Index, settings: Settings, tmp_path: Path
) -> None:
    """Found by pulling a host's network: its consumer failed to sync what was gone, once a second."""
    jobqueue = Robbed(spool, index, settings)
    job = submitted(jobqueue, SystemClock().now())

    consume_until_empty(jobqueue, tmp_path)

    again = jobqueue.job(job.id)
    assert (again.state, again.losses, again.failures) == (State.PENDING, 1, 0)
    invariants(spool, index)


def test_a_batch_grows_fourfold_at_most_while_jobs_are_short_and_shrinks_at_once_when_one_is_long() -> None:
    batch = Batch(seconds=1.0, most=50)

    sizes = []
    for seconds in (0.001, 0.001, 0.001, 4.0):
        batch.measure(seconds)
        sizes.append(batch.size)

    assert sizes == [16, 50, 50, 1]


@pytest.mark.parametrize(
    ("wanted", "said", "counts"),
    [
        (Kind.TIMEOUT, Kind.DONE, Kind.DONE),  # it was done before its runner had heard of the end of its time
        (Kind.TIMEOUT, Kind.FAILED, Kind.TIMEOUT),
        (Kind.RELEASED, Kind.FAILED, Kind.RELEASED),
        (Kind.CANCELLED, Kind.DONE, Kind.CANCELLED),
    ],
)
def test_an_attempt_that_is_ended_early_ends_as_was_wanted_but_what_is_done_is_done_unless_somebody_withdrew_it(
    wanted: Kind, said: Kind, counts: Kind
) -> None:
    ending = Ending(new_id(), Outcome(wanted, "why"), 0.0)

    outcome = ending.over(Outcome(said, run_seconds=2.0, log="what it printed"))

    assert (outcome.kind, outcome.run_seconds, outcome.log) == (counts, 2.0, "what it printed")
