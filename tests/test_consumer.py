"""The consumer's loop in this process, with a real runner below it, over a disk that fails on demand."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from pqfs.clock import SystemClock
from pqfs.consumer import Consumer, register
from pqfs.files import Files, SyncFailed
from pqfs.index import Index
from pqfs.jobqueue import JobQueue
from pqfs.model import State
from pqfs.runnerlink import RunnerLink
from pqfs.runtime import Presence, Stop
from pqfs.settings import Settings
from pqfs.spool import Spool
from tests.world import invariants, submitted


class FailingOnce(Files):
    """The first sync of an output fails, and from then on the disk is well."""

    def __init__(self) -> None:
        self.failed: list[bytes] = []

    def fsync(self, directory: int, path: bytes) -> None:
        if not self.failed and path.endswith(b".out"):
            self.failed.append(path)
            raise SyncFailed(errno.EIO, os.strerror(errno.EIO))
        super().fsync(directory, path)


class WatchedLink(RunnerLink):
    """Notes what its consumer left in its scratch when it ended."""

    def close(self) -> None:
        self.left = self._spool.entries(f"work/{self._owner}")
        super().close()


def consume_until_empty(jobqueue: JobQueue, tmp_path: Path) -> list[str]:
    """Run a consumer until nothing is left to claim; what it left in its scratch."""
    clock, stop = SystemClock(), Stop()
    with Presence(jobqueue.spool.path("run"), "consumer-00", clock) as presence:
        owner = presence.identity.owner
        register(jobqueue.index, presence.identity, os.getpid(), None, 30.0, clock)
        link = WatchedLink(jobqueue.spool, jobqueue.settings, owner, str(tmp_path))
        Consumer(jobqueue, link, presence.identity, clock, None).run(stop, presence, until_empty=True)
    return link.left


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
