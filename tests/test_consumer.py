"""The consumer's loop in this process, with a real runner below it, over a disk that fails on demand."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from pqfs.clock import SystemClock
from pqfs.consumer import Consumer, register
from pqfs.files import Files, SyncFailed
from pqfs.handlers import JobContext
from pqfs.handlersettings import CommandHandler, PythonHandler
from pqfs.index import Index, Parameters, Row
from pqfs.index.sqlite import SqliteEngine
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Outcome, State
from pqfs.runnerlink import RunnerLink
from pqfs.runtime import Presence, Stop
from pqfs.settings import Settings
from pqfs.slot import read_slot
from pqfs.spool import Spool
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


def test_a_consumer_that_ends_in_order_leaves_no_job_to_blame_for_it(jobqueue: JobQueue, tmp_path: Path) -> None:
    """Found by the system calls: an index that could not be read ended it, and what ran just then was charged."""
    link = RunnerLink(jobqueue.spool, jobqueue.settings, "consumer.1.0123abcd", str(tmp_path))
    link.start()
    link._slot.begin(new_id(), 1, 1000.0)

    link.close()

    assert read_slot(jobqueue.spool.path("run/consumer.1.0123abcd.slot")) is None


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
