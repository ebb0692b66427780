"""A consumer in this process with a real runner below it, and an index that forgets to answer."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import apsw

from pqfs.clock import SystemClock
from pqfs.consumer import Consumer
from pqfs.enrolment import register
from pqfs.index import Parameters, Row
from pqfs.index.sqlite import SqliteEngine
from pqfs.jobqueue import JobQueue
from pqfs.runnerlink import RunnerLink
from pqfs.runtime import Presence, Stop


class Forgetful(SqliteEngine):
    """The first commit that completes a job, or does another `act`, happens, and says that it did not."""

    def __init__(self, path: Path, act: str = "complete") -> None:
        self._act = act
        self._is_acting = False
        super().__init__(path)

    def run_many(self, name: str, parameters: Iterable[Parameters]) -> list[Row]:
        self._is_acting |= name == self._act
        return super().run_many(name, parameters)

    def _commit(self) -> None:
        super()._commit()
        if self._is_acting:
            self._is_acting = False
            self._commit = super()._commit  # type: ignore[method-assign]
            raise apsw.IOError("disk I/O error")


class WatchedLink(RunnerLink):
    """Notes what its consumer left in its scratch when it ended."""

    def close(self) -> None:
        self.left = self._spool.entries(f"work/{self._owner}")
        super().close()


def consume_until_empty(jobqueue: JobQueue, tmp_path: Path, kind: type[RunnerLink] = WatchedLink) -> list[str]:
    """Run a consumer until nothing is left to claim; what it left in its scratch."""
    clock, stop = SystemClock(), Stop()
    with Presence(jobqueue.spool.path("run"), "consumer-00", clock) as presence:
        owner = presence.identity.owner
        register(jobqueue.index, presence.identity, os.getpid(), None, 30.0, clock)
        link = kind(jobqueue.spool, jobqueue.settings, owner, str(tmp_path))
        Consumer(jobqueue, link, presence.identity, clock, None).run(stop, presence, until_empty=True)
    return getattr(link, "left", [])
