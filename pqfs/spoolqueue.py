"""The queue of a spool: `pqfs.interface` on the verbs that the command line and the processes use.

One connection to the index and one lock for all threads. What takes long (a wait, hashing an output) is done without
the lock; a copy into the spool with it.
"""

from __future__ import annotations

import getpass
import io
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from pqfs import naming
from pqfs.dequeuer import Dequeuer, Held
from pqfs.duplicates import SET
from pqfs.errors import LeaseLost, QueueNotFound, Refused, TimedOut
from pqfs.index import Act
from pqfs.interface import LeasedJob, Payload, Queue, Stats
from pqfs.listing import NEWEST, Listing, Wanted
from pqfs.model import FINAL, Attempt, Job, Kind, State
from pqfs.reception import Reception
from pqfs.runtime import Heartbeat
from pqfs.story import is_unpublished
from pqfs.submission import Wish, check_source
from pqfs.wiring import App

PROGRAM = "dequeue"
_POLL = 0.05  # seconds
_TEND_EVERY = 1.0
_BLOCK = 1 << 20


class SpoolQueue(Queue):
    """One queue of an opened spool, which is closed with it. See `Queue`."""

    def __init__(self, app: App, name: str) -> None:
        known = sorted(row.name for row in app.terms.look())
        if name not in known:
            raise QueueNotFound(name, known)
        self.name = name
        self._opened_app, self._process = app, os.getpid()
        self._own_lock = threading.RLock()
        self._dequeuer: Dequeuer | None = None
        self._heartbeat: Heartbeat | None = None
        self._is_closed = False
        self._ids = naming.JobIds()
        self._reception = Reception(app.jobqueue, app.clock, self._own_lock, "submit")

    @property
    def _lock(self) -> threading.RLock:
        """Held by one thread at a time. A forked child must not even ask for it: it may be held for ever there."""
        if os.getpid() != self._process:
            raise Refused(
                f"This queue was opened by process {self._process}; a forked child would break its index.",
                "Open one in each process: get_queue()",
            )
        return self._own_lock

    @property
    def _app(self) -> App:
        with self._lock:
            if self._is_closed:
                raise Refused("This queue was closed.")
            return self._opened_app

    # ---------------------------------------------------------------- producers

    def enqueue(
        self, payload: Payload, *, name: str | None = None, priority: int | None = None, delay: float = 0.0,
        key: str | None = None, metadata: Mapping[str, Any] | None = None,
    ) -> str:  # fmt: skip
        """See `Queue.enqueue`."""
        now = self._app.clock.now()
        options = {"metadata": dict(metadata)} if metadata else None
        wish = Wish(self.name, priority, now + delay if delay else 0.0, key, options, once=key is not None)
        wish.check(now)
        called = os.fsencode(name if name is not None else _usual_name(payload))
        if not called or b"/" in called or called in (b".", b".."):
            raise Refused(f"{naming.printable(called)!r} can not be a file's name.")
        with _opened(payload) as source, self._reception.open() as me:
            staged = me.stage(source, called, wish)
            made = me.commit([Act(_actor(), "submit", staged.id, self.name, after="pending")])
            if not made:
                raise Refused(f"{self._app.jobqueue.duplicates.reason(me.twins[0]).capitalize()}.")
            return made[0].id

    # ---------------------------------------------------------------- consumers

    def dequeue(self, *, lease: float | None = None, wait: float = 0.0) -> LeasedJob | None:
        """See `Queue.dequeue`."""
        seconds = self._app.settings.consume.lease if lease is None else lease
        deadline = time.monotonic() + wait
        while True:
            if held := self._leases().lease(self.name, seconds):
                return self._leased(held)
            if time.monotonic() >= deadline:
                return None
            time.sleep(min(_POLL, max(0.0, deadline - time.monotonic())))

    def _leases(self) -> Dequeuer:
        """Who leases for us: made with the first lease, since most who open a queue only fill it."""
        with self._lock:
            app = self._app
            if self._dequeuer is None:
                self._dequeuer = Dequeuer(app.jobqueue, app.clock, self._lock, PROGRAM, [self.name])
                self._heartbeat = Heartbeat(_TEND_EVERY, self._dequeuer.tend)
                self._heartbeat.start()
            return self._dequeuer

    def _leased(self, held: Held) -> LeasedJob:
        job, dequeuer = held.job, self._leases()
        metadata = (job.options or {}).get("metadata", {})
        return LeasedJob(
            job.id, job.attempt, job.queue, naming.printable(job.name), job.size, dequeuer.payload(held),
            dequeuer.end_of(held), metadata, SET in (job.options or {}),
        )  # fmt: skip

    def extend(self, leased: LeasedJob, seconds: float | None = None) -> LeasedJob:
        """See `Queue.extend`."""
        with self._lock:
            dequeuer = self._leases()
            held = dequeuer.held(leased.id, leased.attempt)
            extended = dequeuer.extend(held, self._app.settings.consume.lease if seconds is None else seconds)
            return replace(leased, lease_end=dequeuer.end_of(extended))

    def acknowledge(self, leased: LeasedJob, output: Payload = b"") -> Job:
        """See `Queue.acknowledge`."""
        with self._lock:
            dequeuer = self._leases()
            if self._ended_as(leased, Kind.DONE):
                return self.get(leased.id)
            held = dequeuer.held(leased.id, leased.attempt)
            staged = dequeuer.scratch(self._ids.next(self._app.clock.now()))
            try:
                _write(output, self._app.spool.path(staged))
                dequeuer.complete(held, staged)
            finally:
                self._app.spool.remove_tree(staged)
            return self.get(leased.id)

    def _ended_as(self, leased: LeasedJob, *kinds: Kind) -> Attempt | None:
        """How this attempt has ended, if it has, and in one of these ways: then the same is answered again.

        Raises:
            LeaseLost: it has ended in another.
        """
        ended = self._leases().has_ended(leased.id, leased.attempt)
        if ended and ended.outcome not in kinds:
            raise LeaseLost(leased.id, leased.attempt)
        return ended

    def requeue(self, leased: LeasedJob, *, delay: float = 0.0, reason: str | None = None) -> Job:
        """See `Queue.requeue`."""
        return self._give_up(leased, Kind.RELEASED, reason or "it was given back", delay)

    def fail(self, leased: LeasedJob, error: str) -> Job:
        """See `Queue.fail`."""
        return self._give_up(leased, Kind.FAILED, error)

    def move_to_dead_letter(self, leased: LeasedJob, error: str) -> Job:
        """See `Queue.move_to_dead_letter`."""
        return self._give_up(leased, Kind.PERMANENT, error)

    def _give_up(self, leased: LeasedJob, kind: Kind, error: str, delay: float = 0.0) -> Job:
        with self._lock:
            if not self._ended_as(leased, kind):
                dequeuer = self._leases()
                dequeuer.give_up(dequeuer.held(leased.id, leased.attempt), kind, error, delay)
            return self.get(leased.id)

    # ---------------------------------------------------------------- everybody

    def get(self, job: str) -> Job:
        """See `Queue.get`."""
        with self._lock:
            return self._app.jobqueue.job(job)

    def list(self, *, state: State | None = None, before: str | None = None, limit: int = 50) -> Sequence[Job]:
        """See `Queue.list`."""
        with self._lock:
            return Listing(self._app.index).page(Wanted(state, self.name), before or NEWEST, limit).jobs

    def stats(self) -> Stats:
        """See `Queue.stats`."""
        with self._lock:
            counts = {state: jobs for queue, state, jobs in self._app.index.counts() if queue == self.name}
            oldest = self._app.index.oldest_due(self.name)
            waits = None if oldest is None else max(0.0, self._app.clock.now() - oldest)
        return Stats({state: counts.get(state, 0) for state in State}, waits)

    def wait(self, job: str, timeout: float | None = None) -> Job:
        """See `Queue.wait`."""
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                found = self._app.jobqueue.job(job)
                if found.state in FINAL and not is_unpublished(self._app, found):
                    return found
            if time.monotonic() >= deadline:
                raise TimedOut(f"Job {job} has not ended.", f"See: pqfs why {job}")
            time.sleep(_POLL)

    def close(self) -> None:
        """See `Queue.close`. A forked child leaves all as it is: to close it would end the parent's locks."""
        if os.getpid() != self._process:
            return
        if self._heartbeat:
            self._heartbeat.stop()
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            try:
                self._reception.close()
                if self._dequeuer:
                    self._dequeuer.close()
            finally:
                self._opened_app.close()


def _usual_name(payload: Payload) -> str:
    if isinstance(payload, Path):
        return payload.name
    return "payload.txt" if isinstance(payload, str) else "payload.bin"


@contextmanager
def _opened(payload: Payload) -> Iterator[IO[bytes]]:
    """A payload as an open file, from where it stands."""
    match payload:
        case str() | bytes():
            yield io.BytesIO(payload.encode() if isinstance(payload, str) else payload)
        case Path():
            check_source(payload)
            with payload.open("rb") as file:
                yield file
        case _ if hasattr(payload, "read"):
            yield payload
        case _:
            raise TypeError(f"A payload is bytes, text, a path or an open file, not {type(payload).__name__}.")


def _write(output: Payload, target: Path) -> None:
    if isinstance(output, Path) and output.is_dir():
        shutil.copytree(output, target, symlinks=True)
        return
    with _opened(output) as source, target.open("xb") as copy:
        while block := source.read(_BLOCK):
            copy.write(block)


def _actor() -> str:
    """Who acts, as the audit names it."""
    try:
        return f"python:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"python:{os.getuid()}"  # a user without a name
