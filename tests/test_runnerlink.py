"""The consumer's hold on its runner."""

from __future__ import annotations

from pathlib import Path

from pqfs.jobqueue import JobQueue
from pqfs.runnerlink import RunnerLink
from pqfs.slot import read_slot
from tests.world import new_id


def test_a_consumer_that_ends_in_order_leaves_no_job_to_blame_for_it(jobqueue: JobQueue, tmp_path: Path) -> None:
    """Found by the system calls: an index that could not be read ended it, and what ran just then was charged."""
    link = RunnerLink(jobqueue.spool, jobqueue.settings, "consumer.1.0123abcd", str(tmp_path))
    link.start()
    link._slot.begin(new_id(), 1, 1000.0)

    link.close()

    assert read_slot(jobqueue.spool.path("run/consumer.1.0123abcd.slot")) is None
