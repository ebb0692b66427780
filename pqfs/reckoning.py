"""Brings an index up to date that is older or younger than its tree: a copy was put in place of one of them.

Nobody works meanwhile. The tree proves where a payload is, and the outbox what was published; the index knows the
rest. A completed job stays completed, whatever else is told. Where the index is the older one the tree is believed;
where it is the newer one recovery moves payloads to where their rows say. What neither can tell fails as lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from pqfs import naming
from pqfs.clock import Clock
from pqfs.index.census import Census
from pqfs.jobqueue import JobQueue
from pqfs.model import FINAL, Job, Outline, Place, State
from pqfs.naming import Claimed, Parked
from pqfs.owners import Owners
from pqfs.queueing import Queueing
from pqfs.rebuild import Rebuild, parse_payload
from pqfs.schedules import Schedules
from pqfs.sieve import in_chunks
from pqfs.witness import Witness

Progress = Callable[[int], None]
_CHUNK = 1000
_ID = 36
_WAITING = (State.PENDING, State.HELD)
_NOTE = "as the tree tells; this index was older than the tree"


class Reckoning:
    """One spool whose index and tree were parted. `is_older`: the index is the older of the two."""

    def __init__(self, jobqueue: JobQueue, owners: Owners, clock: Clock, is_older: bool) -> None:
        self._jobqueue = jobqueue
        self._spool = jobqueue.spool
        self._index = jobqueue.index
        self._census = Census(jobqueue.index.engine)
        self._witness = Witness(self._spool, jobqueue.settings)
        self._rebuild = Rebuild(jobqueue, owners, clock)
        self._clock = clock
        self._is_older = is_older

    def run(self, progress: Progress = lambda count: None) -> dict[State, int]:
        """Make rows and tree agree; how many rows were changed or made, by the state that they are in now.

        It may be killed and begun again at any moment.
        """
        counts: Counter[State] = Counter()
        self._forget_consumers()
        if self._is_older:
            Queueing(self._jobqueue).restore(self._clock.now(), believe=True)
            Schedules(self._jobqueue).restore(self._clock.now(), believe=True)
        for directory in self._spool.payload_directories():
            for entries in in_chunks(self._spool.listing(directory), _CHUNK):
                counts.update(self._hear(f"{directory}/{name}" for name, is_file in entries if is_file))
                progress(len(entries))
        counts.update(self._hear_holds())
        last = ""
        while rows := self._census.after(last, _CHUNK):
            counts.update(self._account_for(rows))
            last = rows[-1].id
            progress(len(rows))
        counts.update(self._rebuild.run(progress))
        return dict(counts)

    def _forget_consumers(self) -> None:
        """Those of the index are not alive: nobody is."""
        with self._index.transaction():
            for consumer in self._index.consumers():
                self._index.forget_consumer(consumer.owner)

    # ---------------------------------------------------------------- what the tree tells

    def _hear(self, paths: Iterator[str]) -> list[State]:
        """Payloads that are not where their rows expect them."""
        named = [(path, name) for path in paths if (name := parse_payload(path))]
        rows = self._census.of({name.job for _, name in named})
        astray = [(path, name, rows[name.job]) for path, name in named if self._is_astray(path, rows, name)]
        if not astray:
            return []
        with self._index.transaction():
            return [state for path, name, row in astray if (state := self._hear_one(path, name, row))]

    def _is_astray(self, path: str, rows: Mapping[str, Outline], name: Parked | Claimed) -> bool:
        row = rows.get(name.job)
        if row is None:
            return False  # the rebuild's
        is_running = row.state == State.PROCESSING  # by nobody any more
        return is_running or row.place == Place.GONE or self._spool.payload_path(row) != path

    def _hear_one(self, path: str, name: Parked | Claimed, row: Outline) -> State | None:
        told = self._witness.job(path, name)
        if told is None or row.place == Place.GONE:
            return None
        is_proof = self._is_older or told.state is State.COMPLETED or row.state == State.PROCESSING
        if is_proof and row.state != State.COMPLETED:
            return self._believe(row, replace(told, confirmed=self._spool.payload_path(told) == path))
        return State(row.state) if self._census.doubt(row) else None

    def _believe(self, row: Outline, told: Job) -> State | None:
        note = told.error or f"{told.state}, {_NOTE}"
        return told.state if self._census.believe(row, replace(told, error=note)) else None

    def _hear_holds(self) -> Iterator[State]:
        """Jobs that were held or released since an older index was copied: their meta files say so."""
        if not self._is_older:
            return
        for entries in in_chunks(self._spool.listing("meta"), _CHUNK):
            rows = self._census.of({name[:_ID] for name, _ in entries if name[:_ID].isascii()})
            with self._index.transaction():
                for row in rows.values():
                    if row.state in _WAITING and (state := self._hear_hold(row)):
                        yield state

    def _hear_hold(self, row: Outline) -> State | None:
        path = self._spool.payload_path(row)
        name = naming.parse_parked(path.rpartition("/")[2])
        told = self._witness.job(path, name) if name else None
        if told is None or told.state == row.state:
            return None
        return self._believe(row, replace(told, confirmed=True))

    # ---------------------------------------------------------------- what the tree does not tell

    def _account_for(self, rows: list[Outline]) -> list[State]:
        """Rows whose payloads are nowhere: all that are somewhere have been heard."""
        missing = [row for row in rows if row.place != Place.GONE and not self._is_somewhere(row)]
        if not missing:
            return []
        with self._index.transaction():
            return [state for row in missing if (state := self._account_for_one(row))]

    def _is_somewhere(self, row: Outline) -> bool:
        if not row.confirmed and row.state != State.PROCESSING:
            return True  # on its way: recovery's
        places = (Place.READY, Place.CLAIMED) if row.state == State.PROCESSING else (Place(row.place),)
        return any(self._spool.exists(self._spool.payload_path(row, place)) for place in places)

    def _account_for_one(self, row: Outline) -> State | None:
        job = self._index.job(row.id)
        if job is None:
            return None
        if job.state in FINAL:
            return job.state if self._census.note_gone(job) else None
        if stamp := self._witness.published_at(job.id):
            output = f"{stamp}_{naming.id12(job.id)}_{naming.disk_name(job.name)}"
            told = replace(job, state=State.COMPLETED, place=Place.GONE, confirmed=True, output=output, error=None)
        else:
            told = replace(job, state=State.FAILED, place=Place.GONE, confirmed=True, error=_LOST)
        return self._believe(row, replace(told, updated_at=self._clock.now()))


_LOST = "payload lost: index and tree were of different times, and neither tells what became of it"
