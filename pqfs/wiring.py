"""Settings to objects: the only place where concrete classes meet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pqfs import kernel
from pqfs.clock import Clock, SystemClock, boot_id
from pqfs.consumer import Consumer, heartbeat, register
from pqfs.inbox import Inbox
from pqfs.index import Index
from pqfs.index.sqlite import SqliteEngine
from pqfs.ingester import Ingester
from pqfs.janitor import Janitor
from pqfs.jobqueue import JobQueue
from pqfs.owners import Owners
from pqfs.recovery import Recovery
from pqfs.runnerlink import RunnerLink
from pqfs.runtime import Presence, Stop, follow_supervisor, program_name
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool
from pqfs.watch import Watch


@dataclass(frozen=True, slots=True)
class App:
    """One spool, opened. Close it when done."""

    settings: Settings
    config: Path | None
    spool: Spool
    index: Index
    jobqueue: JobQueue
    owners: Owners
    clock: Clock

    def close(self) -> None:
        """Close the index and the spool."""
        self.index.close()
        self.spool.close()

    def recovery(self) -> Recovery:
        """The repairs of this spool."""
        return Recovery(self.jobqueue, self.owners, self.clock, boot_id())

    def janitor(self, owner: str) -> Janitor:
        """A janitor that works under this name."""
        return Janitor(self.jobqueue, self.recovery(), self.owners, self.clock, owner, boot_id())


def open_index(settings: Settings, read_only: bool = False) -> Index:
    """The spool's index."""
    return Index(SqliteEngine(settings.spool / "index.db", settings.durability == "strict", read_only))


def open_app(loaded: Loaded, read_only: bool = False) -> App:
    """Open a spool and its index, and make the queues that the settings name.

    Raises:
        Misconfigured: there is no spool, it spans file systems, or the index may not be opened here.
        Unavailable: read-only and there is no index yet.
    """
    settings = loaded.settings
    spool = Spool(settings.spool, durable=settings.durability == "strict")
    try:
        spool.check_one_file_system()
        index = open_index(settings, read_only)
    except BaseException:
        spool.close()
        raise
    clock = SystemClock()
    if not read_only:
        _make_queues(index, settings, clock)
    jobqueue = JobQueue(spool, index, settings)
    return App(settings, loaded.config, spool, index, jobqueue, Owners(settings.spool / "run"), clock)


def _make_queues(index: Index, settings: Settings, clock: Clock) -> None:
    missing = set(settings.queue_names()) - {queue.name for queue in index.queues()}
    if missing:
        with index.transaction():
            for name in sorted(missing):
                index.create_queue(name, clock.now())


@contextmanager
def _service(app: App, program: str) -> Iterator[tuple[Presence, Stop]]:
    """A process of pqfs: signals, supervisor, lock and bell."""
    kernel.ignore_lease_breaks()
    follow_supervisor()
    stop = Stop()
    stop.listen()
    with Presence(app.spool.path("run"), program_name(program), app.clock) as presence:
        yield presence, stop


def run_ingester(loaded: Loaded, drain: float | None = None) -> int:
    """Ingest until asked to stop; with `drain`, until the inbox is empty. How many files were taken by a drain."""
    app = open_app(loaded)
    with _service(app, "ingester") as (presence, stop):
        owner = presence.identity.owner
        ingester = Ingester(app.jobqueue, Inbox(app.settings.spool, app.settings), owner, app.clock)
        if drain is not None:
            taken = ingester.drain(drain)
        else:
            ingester.run(stop, presence.bell, Watch(app.settings.spool / "inbox", app.settings.ingest.watch))
            taken = 0
        app.spool.remove_directory(f"ready/{owner}")
    app.close()
    return taken


def run_consumer(loaded: Loaded, queues: Sequence[str] | None = None, until_empty: bool = False) -> int:
    """Consume until asked to stop, or until nothing is left; how many jobs were completed."""
    app = open_app(loaded)
    kernel.become_subreaper()
    with _service(app, "consumer") as (presence, stop):
        identity = presence.identity
        lease = app.settings.consume.lease
        register(app.index, identity, os.getpid(), queues, lease, app.clock)
        link = RunnerLink(app.spool, app.settings, identity.owner, str((app.config or Path.cwd() / "x").parent))
        consumer = Consumer(app.jobqueue, link, identity, app.clock, queues)
        beats_index = open_index(app.settings)
        beats = heartbeat(beats_index, consumer, identity, lease, app.clock, stop)
        beats.start()
        try:
            consumer.run(stop, presence, until_empty)
        finally:
            beats.stop()
            beats_index.close()
        with app.index.transaction():
            app.index.forget_consumer(identity.owner)
        app.spool.path(f"run/{identity.owner}.slot").unlink(missing_ok=True)
    app.close()
    return consumer.completed


def run_janitor(loaded: Loaded, once: bool = False) -> None:
    """Look after the spool until asked to stop, or once."""
    app = open_app(loaded)
    with _service(app, "janitor") as (presence, stop):
        janitor = app.janitor(presence.identity.owner)
        if once:
            janitor.look()
            while janitor.purge():
                pass
        else:
            janitor.run(stop, presence.bell)
    app.close()
