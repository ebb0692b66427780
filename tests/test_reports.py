"""A runner that dies tells who is to be charged, whatever else goes wrong in that moment."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.clock import SystemClock
from pqfs.handlers import JobContext
from pqfs.handlersettings import PythonHandler
from pqfs.index import Index
from pqfs.jobqueue import JobQueue
from pqfs.model import State
from pqfs.runnerlink import RunnerLink
from pqfs.settings import Settings
from pqfs.spool import Spool
from tests.consuming import consume_until_empty
from tests.world import invariants, submitted


def die(context: JobContext) -> str:
    """A handler that takes its runner along, the first time."""
    if context.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


class Crowded(RunnerLink):
    """The machine has no room for a second runner, the first time that one is wanted."""

    starts = 0

    def start(self) -> None:
        self.starts += 1
        if self.starts == 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        super().start()


class Sticky(Spool):
    """What an attempt has written can not be removed."""

    def remove_tree(self, relative: str) -> None:
        if relative.endswith((".part", ".parts")):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        super().remove_tree(relative)


@pytest.mark.parametrize(("kind", "link"), [(Spool, Crowded), (Sticky, RunnerLink)])
def test_trouble_while_a_runner_is_buried_costs_its_consumer_neither_its_jobs_nor_its_life(
    kind: type[Spool], link: type[RunnerLink], spool: Spool, index: Index, settings: Settings, tmp_path: Path
) -> None:
    """Found by the system calls: EACCES on the dead attempt's scratch, and the loop waited on a closed channel."""
    dying = replace(settings.defaults, handler=PythonHandler(python=f"{__name__}:die"))
    house = kind(spool.root)
    jobqueue = JobQueue(house, index, replace(settings, defaults=dying))
    job = submitted(jobqueue, SystemClock().now())

    consume_until_empty(jobqueue, tmp_path, link)

    ended = jobqueue.job(job.id)
    assert (ended.state, ended.crashes, ended.attempt) == (State.COMPLETED, 1, 2)
    house.close()
    invariants(spool, index)
