"""An opened spool for tests of questions, with a clock that they set; and owners that live or are dead."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pqfs.clock import boot_id
from pqfs.index import Consumer
from pqfs.jobqueue import JobQueue
from pqfs.owners import OwnerLock, Owners
from pqfs.slot import Slot
from pqfs.wiring import App
from tests.world import SettableClock


def app_of(jobqueue: JobQueue, clock: SettableClock) -> App:
    """What `open_app` gives, over the fixtures of a test."""
    owners = Owners(jobqueue.spool.path("run"))
    return App(jobqueue.settings, None, jobqueue.spool, jobqueue.index, jobqueue, owners, clock)


def live(app: App, program: str) -> OwnerLock:
    """An owner that lives until its lock is released."""
    return OwnerLock(app.spool.path("run"), program, boot_id(), app.clock.now())


def die(app: App, program: str) -> str:
    """The name of an owner whose lock file is there and free."""
    lock = live(app, program)
    os.close(lock._descriptor)
    return lock.name


def consumer(app: App, owner: str, queues: tuple[str, ...] | None = None, lease: float = 30.0) -> None:
    """Register a consumer under this name."""
    now, boot = app.clock.now(), app.clock.boottime()
    row = Consumer(owner, owner.partition(".")[0], os.getpid(), "host", boot_id(), queues, now, now, boot, lease, 0)
    with app.index.transaction():
        app.index.register(row)


class Unexamined:
    """A janitor's checkup that looks at nothing."""

    def begin(self) -> None:
        """A look begins."""

    def make(self, done: Mapping[str, int]) -> None:
        """A look has ended well."""

    def complain(self, error: Exception) -> None:
        """A look has failed."""


def run(app: App, owner: str, job: str, attempt: int) -> None:
    """Let an owner's slot say that it runs this attempt since now."""
    slot, descriptor = Slot.create(Path(app.spool.path(f"run/{owner}.slot")))
    slot.begin(job, attempt, app.clock.boottime())
    os.close(descriptor)
