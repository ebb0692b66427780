"""Opens an index for writing: who comes first looks whether it is whole, this spool's, and as old as the tree.

A broken index, another spool's and none beside a spool that holds jobs are refused, each with one sentence. A copy
that is older or younger than the tree is brought up to date before anybody else may use it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pqfs.clock import Clock
from pqfs.custody import (
    Custody,
    Identity,
    Relation,
    bar,
    read_identity,
    refuse_barred,
    refuse_exchanged,
    refuse_foreign,
    refuse_moved,
    refuse_other_host,
    relation,
    write_identity,
)
from pqfs.errors import IndexDamaged, IndexGone, SchemaInUse
from pqfs.hosts import others_at_work, owners_of
from pqfs.index import Engine, Index
from pqfs.index.census import Census
from pqfs.jobqueue import JobQueue
from pqfs.settings import Settings
from pqfs.sieve import in_chunks
from pqfs.spool import Spool

AFTER_A_CRASH = 2.0  # seconds for a look through an index that nobody has closed
_DUTY = "reckoning"  # what one host at a time does
_PATIENCE = 60.0  # seconds for another process to make or check the index


class Opening:
    """How one process comes to use the index of a spool. `connect` opens its database, `tell` speaks to a person."""

    def __init__(
        self,
        spool: Spool,
        settings: Settings,
        clock: Clock,
        connect: Callable[..., Index],
        tell: Callable[[str], None],
    ) -> None:
        self._spool = spool
        self._settings = settings
        self._clock = clock
        self._connect = connect
        self._tell = tell

    def open(self, patience: float = 0.0) -> tuple[Index, Custody]:
        """The index, and our part in its use. `patience`: seconds for a look through it, whatever its last end was.

        Raises:
            IndexGone: it is broken, missing or another spool's.
            SchemaTooNew: a newer pqfs wrote it.
            SchemaInUse: it is an older pqfs's, which works on it.
            Unavailable: another process makes or checks it.
        """
        custody = Custody(self._spool)
        try:
            is_alone = custody.enter(_PATIENCE)
            refuse_barred(self._spool)
            if self._settings.index_server is None:
                refuse_other_host(self._spool, os.uname().nodename)
                self._refuse_to_start_over(self._settings.index_file)
            index = self._open_first(patience) if is_alone else self._open_too(patience)
            custody.share()
        except BaseException:
            custody.release()
            raise
        return index, custody

    def _open_too(self, patience: float) -> Index:
        index = self._connect(consent=_refuse_while_used)
        refuse_foreign(self._spool, index)
        refuse_exchanged(self._spool, index)
        if patience:
            examine(self._spool, index, patience)
        return index

    def _open_first(self, patience: float) -> Index:
        mark = read_identity(self._spool)
        is_served = self._settings.index_server is not None  # a server keeps its log itself
        has_log = is_served or self._settings.index_log.exists()
        index = self._connect()
        try:
            if is_served and index.identity() is None:
                self._refuse_to_start_over(None)
            if mark and mark.is_open:
                patience = max(patience, AFTER_A_CRASH)
            if patience:
                examine(self._spool, index, patience)
            self._bring_together(index, mark, has_log)
        except BaseException:
            index.close()
            raise
        return index

    def _bring_together(self, index: Index, mark: Identity | None, has_log: bool) -> None:
        refuse_foreign(self._spool, index)
        if has_log:
            # A sync of it may have failed: from memory it reads as whole, and a loss of power would take all that was
            # committed behind the gap. What moves into the database is written and synced anew.
            index.engine.checkpoint()
        if mark is None:
            self._refuse_unknown(index)
        found = relation(mark, index.identity(), has_log)
        if found is Relation.NEW and not index.counts():
            found = Relation.OLDER  # just made, beside whatever the tree holds
        if found in (Relation.OLDER, Relation.NEWER) and not self._is_new(index):
            from pqfs.reckoning import Reckoning  # what no start but this one needs

            self._refuse_beside_others(index, found)
            self._tell(f"Bringing the index up to date: {found.value}.")
            owners = owners_of(self._settings, index, index.engine.clock())
            jobqueue = JobQueue(self._spool, index, self._settings)
            with index.engine.bulk():
                Reckoning(jobqueue, owners, self._clock, found is Relation.OLDER).run()
        seal(self._spool, index, is_open=True)

    def _refuse_to_start_over(self, file: Path | None) -> None:
        """An empty index beside a full tree would forget what was completed. `file`: of one on SQLite."""
        if file and file.exists() and file.stat().st_size > 0:
            return
        refuse_moved(self._spool, self._settings.index_place)
        if not _is_empty(self._spool):
            raise IndexGone(
                f"There is no index at {self._settings.index_place}, but the spool holds jobs.",
                "Of a backup: pqfs index restore FILE. Without one, and no job is lost: pqfs index rebuild",
            )

    def _refuse_unknown(self, index: Index) -> None:
        """An index of elsewhere knows jobs, and none of what is here: each of them would be given up as lost."""
        is_beside = self._settings.index_server is None and self._settings.index_file.parent == self._spool.root
        if is_beside or not (index.identity() and index.counts()):
            return
        if _is_empty(self._spool):
            raise IndexGone(
                f"The index at {self._settings.index_place} knows jobs, and at {self._spool.root} there is nothing.",
                "Is its volume mounted? Where the spool itself is lost: pqfs index rebuild --fresh",
            )
        if not any(_known(self._spool, index)):
            raise IndexGone(
                f"The index at {self._settings.index_place} knows jobs, but none of those at {self._spool.root}.",
                "It seems to be another spool's: is its address right? If it is this one's: pqfs index rebuild",
            )

    def _refuse_beside_others(self, index: Index, found: Relation) -> None:
        """What is brought up to date must not change meanwhile: other hosts notice, too, and end."""
        if self._settings.host is None:
            return
        others = others_at_work(self._settings, index, index.engine.clock())
        if others or not index.engine.leads(_DUTY, self._settings.host):
            raise IndexGone(
                f"{found.value.capitalize()}, and {' and '.join(others) or 'another host'} works on it.",
                "It is brought up to date by the next start, once everybody has ended, or was silent for a lease.",
            )

    def _is_new(self, index: Index) -> bool:
        return not index.counts() and _is_empty(self._spool)


def seal(spool: Spool, index: Index, is_open: bool) -> None:
    """Mark tree and index as being of the same moment."""
    mark, marked = read_identity(spool), index.identity()
    name, era = _agreed(mark, marked)
    if marked != (name, era):
        # Race: two hosts start a new spool at once, and each would give it a name; the index keeps the first.
        with index.transaction():
            mark = read_identity(spool)
            name, era = _agreed(mark, index.identity())
            index.identify(name, era)
    host, moved = os.uname().nodename if is_open else None, mark.moved if mark else None
    sealed = Identity(name, era, is_open, host, moved)
    if mark != sealed:
        write_identity(spool, sealed)


def _agreed(mark: Identity | None, marked: tuple[str, int] | None) -> tuple[str, int]:
    """The name and the era that tree and index are to have, by what stands there; a new name where none does."""
    name = mark.spool if mark else marked[0] if marked else Identity.new().spool
    return name, max(mark.era if mark else 0, marked[1] if marked else 0)


def examine(spool: Spool, index: Index, patience: float) -> None:
    """Look through the index for so many seconds; damage is noted, so that nobody else opens it.

    Raises:
        IndexDamaged: with what was found first.
    """
    deadline = time.monotonic() + patience
    for problem in index.engine.integrity(lambda: time.monotonic() > deadline):
        error = IndexDamaged(problem)
        bar(spool, error)
        raise error


def _refuse_while_used(_engine: Engine, found: int) -> None:
    """Others on this host have the index open: of an older pqfs, since the first of ours would have changed it."""
    raise SchemaInUse(found, [os.uname().nodename])


def _known(spool: Spool, index: Index) -> Iterator[bool]:
    """Of some of the tree's payloads after the other, whether the index knows a job of theirs."""
    census = Census(index.engine)
    for chunk in in_chunks(spool.payloads()):
        yield bool(census.of({name.job for _, name in chunk}))


def _is_empty(spool: Spool) -> bool:
    return next(spool.payloads(), None) is None
