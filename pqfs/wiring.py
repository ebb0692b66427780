"""Settings to objects: the only place where concrete classes meet.

What only the long-running processes need is put together in `services`, so that a question asked on the
command line does not wait for its import.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pqfs.clock import Clock, SystemClock, boot_id
from pqfs.errors import IndexGone
from pqfs.index import Index
from pqfs.index.sqlite import SqliteEngine
from pqfs.janitor import Janitor
from pqfs.jobqueue import JobQueue
from pqfs.owners import Owners
from pqfs.recovery import Recovery
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool


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
        if not read_only:
            _refuse_to_start_over(spool)
        index = open_index(settings, read_only)
    except BaseException:
        spool.close()
        raise
    clock = SystemClock()
    if not read_only:
        _make_queues(index, spool, settings, clock)
    jobqueue = JobQueue(spool, index, settings)
    return App(settings, loaded.config, spool, index, jobqueue, Owners(settings.spool / "run"), clock)


def _refuse_to_start_over(spool: Spool) -> None:
    """An empty index beside a full tree would forget what was completed."""
    found = spool.status("index.db")
    is_new = found is None or found.st_size == 0
    if is_new and next(spool.payloads(), None) is not None:
        raise IndexGone(
            f"There is no index in {spool.root}, but the spool holds jobs.",
            "Make it again from the spool: pqfs index rebuild",
        )


def _make_queues(index: Index, spool: Spool, settings: Settings, clock: Clock) -> None:
    """A row for each queue that the settings name, and a directory where its producers drop files."""
    for name in settings.queues:
        spool.make_directory(f"inbox/{name}")
    missing = set(settings.queue_names()) - {queue.name for queue in index.queues()}
    if missing:
        with index.transaction():
            for name in sorted(missing):
                index.create_queue(name, clock.now())
