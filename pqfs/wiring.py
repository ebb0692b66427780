"""Settings to objects: the only place where concrete classes meet.

What only the long-running processes need is put together in `services`, so that a question asked on the
command line does not wait for its import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pqfs.clock import Clock, SystemClock, boot_id
from pqfs.custody import Custody, refuse_barred, refuse_foreign, refuse_moved
from pqfs.edition import Unread
from pqfs.errors import Misconfigured
from pqfs.events import Word, emit
from pqfs.hosts import beat_host, owners_of, refuse_while_others_work
from pqfs.index import Index
from pqfs.index.schema import Consent
from pqfs.index.sqlite import SqliteEngine
from pqfs.jobqueue import JobQueue
from pqfs.model import DEFAULT_QUEUE
from pqfs.modes import mend, refuse_root
from pqfs.opening import Opening
from pqfs.owners import Owners
from pqfs.pace import MeasuredPace
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool
from pqfs.terms import Terms

if TYPE_CHECKING:
    from pqfs.janitor import Janitor
    from pqfs.recovery import Recovery


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
    custody: Custody | None = None

    @property
    def terms(self) -> Terms:
        """The terms of the queues as they are now: pqfs.toml, and what people set over it."""
        return self.jobqueue.terms

    def close(self) -> None:
        """Close the index and the spool."""
        if self.custody:
            self.custody.leave(self.index)
        self.index.close()
        self.spool.close()

    def recovery(self) -> Recovery:
        """The repairs of this spool."""
        from pqfs.recovery import Recovery  # 15 ms that a question never needs

        return Recovery(self.jobqueue, self.owners, self.clock, boot_id())

    def janitor(self, owner: str) -> Janitor:
        """A janitor that works under this name."""
        from pqfs.janitor import Janitor  # as above

        return Janitor(self.jobqueue, self.recovery(), self.owners, self.clock, owner, boot_id())


def _log(sentence: str) -> None:
    emit(Word.RECONCILED, what=sentence)


def open_index(settings: Settings, read_only: bool = False, consent: Consent | None = None) -> Index:
    """The spool's index.

    Args:
        settings: where it is.
        read_only: ask questions only.
        consent: to bring one of an older pqfs up to date; by default given unless another host works with it.

    Raises:
        SchemaInUse: there is no consent.
        Misconfigured: its folder is not there, or is none in which an index can work.
    """
    is_durable = settings.durability == "strict"
    consent = consent or partial(refuse_while_others_work, settings)
    if settings.index_server:
        from pqfs.index.postgres import PostgresEngine  # 80 ms, and the extra may not be installed

        return Index(PostgresEngine(settings.index_server, is_durable, read_only, consent))
    file = settings.index_file
    if not file.parent.is_dir():
        raise Misconfigured(
            f"There is no folder {file.parent} for the index.", "Make it, for the user that runs pqfs."
        )
    return Index(SqliteEngine(file, is_durable, read_only, consent))


def open_app(
    loaded: Loaded, read_only: bool = False, patience: float = 0.0, tell: Callable[[str], None] = _log,
    clock: Clock | None = None,
) -> App:  # fmt: skip
    """Open a spool and its index, and make the queues that the settings name.

    Args:
        loaded: the settings.
        read_only: ask questions only.
        patience: seconds for a look through the index for damage, even if its last stop was clean.
        tell: says to a person what takes its time.
        clock: by default the index's, which is the host's where only one can use it.

    Raises:
        Misconfigured: there is no spool, it spans file systems, it is not root's and this is root, or the index may
            not be opened here.
        Unavailable: read-only and there is no index yet.
        IndexGone: the index is broken, missing or another spool's.
    """
    settings, given = loaded.settings, clock or SystemClock()
    spool = Spool(settings.spool, durable=settings.durability == "strict", pace=MeasuredPace())
    try:
        spool.check_one_file_system()
        if read_only:
            index, custody = _open_to_read(spool, settings), None
        else:
            refuse_root(settings.spool)
            index, custody = Opening(spool, settings, given, partial(open_index, settings), tell).open(patience)
    except BaseException:
        spool.close()
        raise
    clock = clock or index.engine.clock()
    if not read_only:
        beat_host(settings, index, clock)
        _make_queues(index, spool, settings, clock)
    unread = Unread(loaded.edition, settings.queues) if loaded.edition else None
    jobqueue = JobQueue(spool, index, settings, unread=unread)
    owners = owners_of(settings, index, clock)
    return App(settings, loaded.config, spool, index, jobqueue, owners, clock, custody)


def _open_to_read(spool: Spool, settings: Settings) -> Index:
    refuse_barred(spool)
    if not settings.has_index():
        refuse_moved(spool, settings.index_place)
    index = open_index(settings, read_only=True)
    try:
        refuse_foreign(spool, index)
    except BaseException:
        index.close()
        raise
    return index


def _make_queues(index: Index, spool: Spool, settings: Settings, clock: Clock) -> None:
    """A row for each queue that the settings name, and a directory where its producers drop files.

    A loss of power, or a rebuild of the index, may have left a queue that was made by command without one.
    """
    known = {queue.name for queue in index.queues()}
    for name in sorted({*settings.queues, *known} - {DEFAULT_QUEUE}):
        path = f"inbox/{name}"
        if not spool.exists(path):
            spool.make_directory(path)
            mend(settings, spool.path(path), [name])
    missing = set(settings.queue_names()) - known
    if missing:
        with index.transaction():
            for name in sorted(missing):
                index.create_queue(name, clock.now())
