"""Leases jobs to whoever asks: to this process's own code, or through it to somebody outside.

A dequeuer is an owner as a consumer is: a lock in run/ that dies with its process, a row with a beat, scratch of its
own in work/<owner>/, and the same verbs in the same order (claim, start, barrier, complete). So recovery takes back
what it holds as it does of any consumer. What is its own: every lease has an end, and is given back when that has
come, at the price of a loss.

Nothing that was claimed is forgotten: a lease whose end could not be told is tried again at the next tending.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pqfs import outputs
from pqfs.clock import Clock, boot_id
from pqfs.doorbell import ring
from pqfs.errors import DiskFull, LeaseLost, PqfsError, VolumeFault, explained
from pqfs.events import Word, emit, trouble
from pqfs.footing import footing
from pqfs.index import Consumer as ConsumerRow
from pqfs.jobqueue import JobQueue
from pqfs.model import Attempt, Job, Kind, Outcome, Place, State
from pqfs.owners import OwnerLock
from pqfs.slot import Slot

_PAUSE = 1.0  # seconds until a job is tried again whose output could not be made durable


@dataclass(frozen=True, slots=True)
class Held:
    """A lease: its job, who asked for it, when it began (Unix seconds; boot time), when it ends, and must end."""

    job: Job
    holder: str | None
    started_at: float
    began: float
    until: float
    limit: float


class Dequeuer:
    """The leases of one process. All its methods may be called from any thread; `lock` is held while one works.

    `queues`: what it is known to serve, for those who ask whether a queue is served. `outlived`: leases are given to
    somebody who may live on when this machine has lost power; then no attempt's number may ever be given again.
    """

    def __init__(
        self, jobqueue: JobQueue, clock: Clock, lock: threading.RLock, program: str, queues: Sequence[str] = (),
        outlived: bool = False,
    ) -> None:  # fmt: skip
        self._jobqueue = jobqueue
        self._spool = jobqueue.spool
        self._clock = clock
        self._lock = lock
        self._program = program
        self._queues = tuple(queues)
        self._outlived = outlived
        self._held: dict[str, Held] = {}
        self._completed = 0
        self._asks_leases = footing(self._spool.root).asks_leases
        self._begin()

    def _begin(self) -> None:
        """Become an owner: the lock first, then the row, then the first claim."""
        run = self._spool.path("run")
        host = self._jobqueue.settings.host
        self._owner_lock = OwnerLock(run, self._program, boot_id(), self._clock.now(), host)
        self.owner = self._owner_lock.name
        try:
            self._spool.make_directory(f"work/{self.owner}")
            self._slot, descriptor = Slot.create(run / f"{self.owner}.slot")
            os.close(descriptor)
            self._register()
        except BaseException:
            self._owner_lock.abandon()
            raise
        ring(run, "janitor")  # there is a new owner to watch

    def _register(self) -> None:
        now, boottime = self._clock.now(), self._clock.boottime()
        self._slot.beat(boottime)
        self._beaten_at = self._kept_at = boottime
        lease = self._jobqueue.settings.consume.lease
        row = ConsumerRow(
            self.owner, self._program, os.getpid(), socket.gethostname(), boot_id(), self._queues, now, now, boottime,
            lease, 0,
        )  # fmt: skip
        self._jobqueue.index.engine.hold(self.owner)
        with self._jobqueue.index.transaction():
            self._jobqueue.index.register(row)

    # ---------------------------------------------------------------- leases

    def lease(self, queue: str, seconds: float, holder: str | None = None) -> Held | None:
        """Lease the next job of a queue and start it; None when there is none.

        Raises:
            DiskFull: the volume is below low water, where nothing is begun.
        """
        with self._lock:
            self.tend()
            if self._spool.is_below(int(self._jobqueue.settings.low_water)):
                raise DiskFull("The spool's volume is below low water: nothing is begun.", "Make room.")
            while jobs := self._jobqueue.claim(self.owner, [queue], 1, self._clock.now(), self._outlived):
                held = self._hold(jobs[0], seconds, holder)
                if self._spool.start(held.job):
                    return held
                self._end_missing(held)
            return None

    def _hold(self, job: Job, seconds: float, holder: str | None) -> Held:
        now = self._clock.boottime()
        asked = (job.options or {}).get("timeout")
        limit = now + float(asked or self._jobqueue.terms.queue(job.queue).timeout)
        held = Held(job, holder, self._clock.now(), now, min(now + seconds, limit), limit)
        self._held[job.id] = held
        return held

    def _end_missing(self, held: Held) -> None:
        """Race: somebody took the leased job back, or a late rename moved it; else its payload is lost."""
        kind = Kind.LOST if self._spool.find(held.job.id) else Kind.MISSING
        self._end(held, Outcome(kind, "its payload is not where it was"))

    def held(self, job: str, attempt: int | None, holder: str | None = None) -> Held:
        """The lease of this job and attempt (None: the one that there is), if it is this holder's.

        Raises:
            LeaseLost: there is none, or it has run out.
        """
        with self._lock:
            self.tend()
            held = self._held.get(job)
            if held is None or attempt not in (None, held.job.attempt) or held.holder != holder:
                raise LeaseLost(job, attempt or 0)
            return held

    def extend(self, held: Held, seconds: float) -> Held:
        """Let a lease end so many seconds from now, at most when the job's timeout is over."""
        with self._lock:
            extended = replace(held, until=min(self._clock.boottime() + seconds, held.limit))
            self._held[held.job.id] = extended
            return extended

    def end_of(self, held: Held) -> float:
        """When a lease ends, in Unix seconds as the clock shows them now."""
        return self._clock.now() + held.until - self._clock.boottime()

    def payload(self, held: Held) -> Path:
        """The file that a lease is about."""
        return self._spool.path(self._spool.payload_path(held.job, Place.CLAIMED))

    def scratch(self, job: str) -> str:
        """A path in this owner's scratch, relative to the spool; `job` is an id that is used for nothing else."""
        return self._spool.scratch_path(self.owner, job, 1, "part")

    # ---------------------------------------------------------------- ends

    def complete(self, held: Held, staged: str) -> None:
        """End an attempt as done; `staged` is its output: a file or folder in our scratch that nobody writes.

        Raises:
            NoOutput: it contains what can not be published; the lease stands.
            LeaseLost: it was another's already; nothing is published.
            VolumeFault: the output could not be made durable; the job is run again.
        """
        limits = self._jobqueue.terms.queue(held.job.queue).limits
        outputs.check(self._spool.path(staged), limits.files, self._asks_leases)
        size, digest = outputs.measure(self._spool.path(staged))
        with self._lock:
            job = held.job
            out = self._spool.scratch_path(self.owner, job.id, job.attempt, "out")
            held = self.held(job.id, job.attempt, held.holder)  # extended meanwhile, or lost
            self._spool.remove_tree(out)  # of a try that was not committed
            self._spool.move(staged, out)
            # Crash here: a complete output that no row knows; recovery runs the job again.
            self._end(held, self._outcome(held, Kind.DONE, output_size=size, output_sha256=digest))
            self._completed += 1

    def give_up(self, held: Held, kind: Kind, error: str | None, delay: float = 0.0) -> None:
        """End an attempt that did not succeed. Errors as `complete`."""
        with self._lock:
            held = self.held(held.job.id, held.job.attempt, held.holder)
            self._end(held, self._outcome(held, kind, error=error, delay=delay))

    def _outcome(self, held: Held, kind: Kind, **more: object) -> Outcome:
        who = f"{self._program}, {held.holder}" if held.holder else self._program
        seconds = self._clock.boottime() - held.began
        told = Outcome(kind, started_at=held.started_at, run_seconds=seconds, handler=f"dequeued by {who}")
        return replace(told, **more)  # type: ignore[arg-type]

    def _end(self, held: Held, outcome: Outcome) -> None:
        try:
            self._jobqueue.end(held.job, outcome, self._clock.now())
        except VolumeFault as error:
            self._make_again(held, error)
            raise
        del self._held[held.job.id]
        if not self.has_ended(held.job.id, held.job.attempt):
            raise LeaseLost(held.job.id, held.job.attempt)

    def _make_again(self, held: Held, error: VolumeFault) -> None:
        """A sync is never repeated on the same data: the output has to be made again."""
        if not self._jobqueue.is_committed(held.job):
            self._discard(held.job)
            self._held[held.job.id] = replace(held, until=0.0)
            self._release(self._held[held.job.id], Kind.RELEASED, error.message, _PAUSE)

    def _discard(self, job: Job) -> None:
        self._spool.remove_tree(self._spool.scratch_path(self.owner, job.id, job.attempt, "out"))

    def has_ended(self, job: str, attempt: int) -> Attempt | None:
        """How an attempt has ended, as its job's history tells; None: it has not, or nobody knows it."""
        found = (each for each in self._jobqueue.index.attempts(job) if each.attempt == attempt)
        return next(found, None)

    # ---------------------------------------------------------------- tending

    def tend(self) -> None:
        """Renew what is held, end what somebody wants ended, give back what has run out. Call it every second.

        The first sign of life is given without the lock: whatever a verb waits for, this process is not hung.
        """
        self._slot.beat(self._clock.boottime())
        with self._lock:
            self._renew()
            if self._held:
                self._end_cancelled()
                self._end_overdue()

    def _renew(self) -> None:
        """Beat, and look for leases that we do not know of: the answer to their claim, or to their end, got lost.

        At once when the connection that holds our name was lost: it is asked for every second, where there are hosts.
        """
        now = self._clock.boottime()
        if now - self._beaten_at < self._jobqueue.settings.consume.lease / 3 and not self._has_lost_touch(now):
            return
        with self._jobqueue.index.transaction():
            alive = self._jobqueue.index.beat(self.owner, self._clock.now(), now, self._completed)
        self._beaten_at = now
        if not alive:
            self._begin_anew()
        for job in self._jobqueue.index.unconfirmed_of(self.owner):
            if job.state is State.PROCESSING and job.id not in self._held:
                self._hold(job, 0.0, None)

    def _has_lost_touch(self, now: float) -> bool:
        if now - self._kept_at < _PAUSE:
            return False
        self._kept_at = now
        return self._jobqueue.index.engine.keep()

    def _begin_anew(self) -> None:
        """We were declared dead: what we held is others', and so is our name."""
        emit(Word.LEASE_LOST, owner=self.owner, what="this owner was declared dead; it begins anew")
        self._held = {}
        self._owner_lock.abandon()
        self._begin()

    def _end_cancelled(self) -> None:
        for (job, attempt), why in self._jobqueue.index.cancels_for(self.owner).items():
            held = self._held.get(job)
            if held and held.job.attempt == attempt:
                self._release(held, Kind.CANCELLED, why)

    def _end_overdue(self) -> None:
        now = self._clock.boottime()
        for held in [each for each in self._held.values() if now >= each.until]:
            if held.until < held.limit:
                self._release(held, Kind.LOST, "its lease ran out")
            else:
                self._release(held, Kind.TIMEOUT, "it ran longer than its timeout")

    def _release(self, held: Held, kind: Kind, error: str, delay: float = 0.0) -> None:
        """Take a job back from whoever holds it; one that can not be taken back now is tried again."""
        try:
            settled = self._jobqueue.revoke(
                held.job, self._outcome(held, kind, error=error, delay=delay), self._clock.now()
            )
            del self._held[held.job.id]
            self._jobqueue.confirm([settled] if settled else [])
        except (PqfsError, OSError) as error_:
            if explained(error_) is None:
                raise
            trouble(f"giving back job {held.job.id}")
        else:
            self._jobqueue.ring()

    def close(self) -> None:
        """Give everything back at no cost, and leave. What can not be given back is recovery's."""
        with self._lock:
            for held in list(self._held.values()):
                self._release(held, Kind.RELEASED, f"{self._program} was stopped")
            if self._held:
                self._owner_lock.abandon()
                return
            with self._jobqueue.index.transaction():
                self._jobqueue.index.forget_consumer(self.owner)
            self._spool.leave_scratch(self.owner)
            self._spool.remove(f"run/{self.owner}.slot")
            self._owner_lock.release()
