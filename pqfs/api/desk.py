"""The one door from requests to the verbs: an opened spool, one lock, one owner that submits and one that leases.

Everything here blocks, and is called from threads: `await desk.run(desk.lease, …)`. What a request stages lies in the
scratch of one of the two owners, so that a death of this process leaves nothing that recovery does not know.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio.to_thread

from pqfs import bundle
from pqfs.api.problems import Gone, NotYet
from pqfs.bundle import Part
from pqfs.dequeuer import Dequeuer, Held
from pqfs.errors import IndexGone, LeaseLost, PqfsError, QueueNotFound, Refused, Unavailable
from pqfs.events import Word, emit
from pqfs.index import Act
from pqfs.listing import NEWEST, Listing, Page, Wanted
from pqfs.model import FINAL, Job, Kind, State
from pqfs.naming import JobIds
from pqfs.reception import Reception
from pqfs.runtime import Heartbeat
from pqfs.story import is_unpublished
from pqfs.submission import Wish
from pqfs.vigil import Vigil
from pqfs.wiring import App

PROGRAM = "api"
_TEND_EVERY = 1.0
_CHUNK = 200  # jobs of one look through many
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Resubmitted:
    """How many jobs wait again, and why others do not: id and reason, the first hundred."""

    count: int
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Entered:
    """The jobs that a request has made; or that it will have made once the index can be written again."""

    jobs: list[str]
    are_jobs: bool


class Desk:
    """What all requests share. `on_lost` is called when the index is gone, and this process is of no more use."""

    def __init__(self, app: App, on_lost: Callable[[], None] = lambda: None) -> None:
        self.app = app
        self.lock = threading.RLock()
        self.reception = Reception(app.jobqueue, app.clock, self.lock, PROGRAM)
        self.dequeuer = Dequeuer(app.jobqueue, app.clock, self.lock, PROGRAM, outlived=True)
        self._ids = JobIds()
        self._on_lost = on_lost
        self._vigil = Vigil(app.spool, app.index, app.clock)
        self._tending = Heartbeat(_TEND_EVERY, self._tend)
        self._tending.start()

    def _tend(self) -> None:
        try:
            with self.lock:
                self._vigil.look()
            self.dequeuer.tend()
        except IndexGone:
            self._on_lost()
            raise

    def close(self) -> None:
        """Give back what is leased, and leave."""
        self._tending.stop()
        with self.lock:
            self.reception.close()
            self.dequeuer.close()

    async def run(self, verb: Callable[..., _Answer], *arguments: object, **named: object) -> _Answer:
        """Call something that blocks, off the event loop."""
        try:
            return await anyio.to_thread.run_sync(partial(verb, *arguments, **named))
        except IndexGone:
            self._on_lost()
            raise

    def is_full(self) -> bool:
        """Whether the spool's volume is below low water."""
        return self.app.spool.is_below(int(self.app.settings.low_water))

    def discard(self, path: Path) -> None:
        """Remove what was staged and is not needed, if it is still there."""
        path.unlink(missing_ok=True)

    # ---------------------------------------------------------------- producers

    def begin(self) -> tuple[str, Path]:
        """The id of a job to be, and where its payload is to be written."""
        with self.reception.open() as submitter:
            return submitter.begin()

    def enqueue(self, named: Sequence[tuple[str, str]], wish: Wish, actor: str) -> Entered:
        """Make jobs of what was written where `begin` said, by id and name, in one commit; the ids that answer.

        What the index could not be told of, but is durable, has entered, too: who sent it again would have it twice.
        Not so with a key: sent again it is answered with the job that it then is.

        Raises:
            Refused: and then none of them is a job, but where only some are duplicates: those are left out.
        """
        if len(named) > 1 and wish.key is not None:
            raise Refused("A key is for one job.", "Send one request for each file.")
        with self.reception.open() as submitter:
            self._check_queue(wish.queue)
            try:
                wish.check(self.app.clock.now())
            except ValueError as error:
                raise Refused(f"{error}.") from error
            try:
                for job, name in named:
                    submitter.adopt(job, os.fsencode(name), wish)
            except Exception:
                submitter.forget()
                raise
            acts = [Act(actor, "submit", job, wish.queue, after=State.PENDING) for job, _ in named]
            try:
                made = submitter.commit(acts)
            except (Unavailable, IndexGone) as error:
                return self._entered_unheard(submitter.kept if wish.key is None else [], error)
            if not made:
                reason = self.app.jobqueue.duplicates.reason(submitter.twins[0])
                raise Refused(f"{reason[0].upper()}{reason[1:]}.")
            return Entered([each.id for each in made], True)

    def _entered_unheard(self, kept: list[str], error: PqfsError) -> Entered:
        if not kept:
            raise error
        emit(Word.ALARM, what="what was enqueued is kept, and is no job yet", jobs=len(kept), error=error.message)
        if isinstance(error, IndexGone):
            self._on_lost()
        return Entered(kept, False)

    def takes_sets(self, queue: str) -> bool:
        """Whether several files for a queue are one job."""
        with self.lock:
            self._check_queue(queue)
            return self.app.terms.queue(queue).sets != "none"

    def bundle(self, files: Sequence[tuple[str, Path]], target: Path) -> None:
        """Write files, by name, into one as a set. Nobody else waits meanwhile."""
        names = [name for name, _ in files]
        if len(set(names)) != len(names):
            raise Refused("Two files of one set have the same name.")
        bundle.write(target, _parts(files), lambda: None)

    def _check_queue(self, name: str) -> None:
        known = [row.name for row in self.app.terms.look()]
        if name not in known:
            raise QueueNotFound(name, sorted(known))

    # ---------------------------------------------------------------- consumers

    def lease(self, queue: str, seconds: float, holder: str | None) -> Held | None:
        """Lease the next job of a queue."""
        with self.lock:
            self._check_queue(queue)
            return self.dequeuer.lease(queue, seconds, holder)

    def find_lease(self, job: str, attempt: int | None, holder: str | None, kind: Kind) -> Held | None:
        """The lease that is to be ended; None: it has ended so before, and the same answer is due.

        Raises:
            LeaseLost: it has ended otherwise, or is another's.
        """
        with self.lock:
            self.dequeuer.tend()
            last = self.app.jobqueue.job(job).attempt
            ended = self.dequeuer.has_ended(job, last if attempt is None else attempt)
            if ended is None:
                return self.dequeuer.held(job, attempt, holder)
            if ended.outcome != kind:
                raise LeaseLost(job, ended.attempt)
            return None

    def stage(self) -> tuple[str, Path]:
        """Where an output is to be written: relative to the spool, and whole."""
        with self.lock:
            staged = self.dequeuer.scratch(self._ids.next(self.app.clock.now()))
            return staged, self.app.spool.path(staged)

    def complete(self, held: Held, staged: str) -> None:
        """End an attempt with what was staged. One that another request has just ended so is left as it is."""
        try:
            self.dequeuer.complete(held, staged)
        except LeaseLost:
            self._forgive(held, Kind.DONE)

    def give_up(self, held: Held, kind: Kind, error: str) -> None:
        """End an attempt that did not succeed, likewise."""
        try:
            self.dequeuer.give_up(held, kind, error)
        except LeaseLost:
            self._forgive(held, kind)

    def _forgive(self, held: Held, kind: Kind) -> None:
        """Race: the same answer was sent twice, and the second came in before the first was carried out."""
        with self.lock:
            ended = self.dequeuer.has_ended(held.job.id, held.job.attempt)
            if ended is None or ended.outcome != kind:
                raise LeaseLost(held.job.id, held.job.attempt)

    def extend(self, job: str, attempt: int | None, seconds: float, holder: str | None) -> Held:
        """Let a lease end so many seconds from now."""
        with self.lock:
            self.job(job)
            return self.dequeuer.extend(self.dequeuer.held(job, attempt, holder), seconds)

    def open_payload(self, job: str, attempt: int, holder: str | None) -> tuple[int, int]:
        """A descriptor of a leased payload, and its size."""
        with self.lock:
            self.job(job)
            held = self.dequeuer.held(job, attempt, holder)
            return _opened(self.dequeuer.payload(held))

    # ---------------------------------------------------------------- everybody

    def job(self, job: str) -> Job:
        """A job by its whole id."""
        with self.lock:
            return self.app.jobqueue.job(job)

    def has_ended(self, job: Job) -> bool:
        """Whether a job has, with its output published."""
        with self.lock:
            return job.state in FINAL and not is_unpublished(self.app, job)

    def page(self, wanted: Wanted, before: str | None, limit: int) -> Page:
        """Jobs, newest first."""
        with self.lock:
            if wanted.queue is not None:
                self._check_queue(wanted.queue)
            return Listing(self.app.index).page(wanted, before or NEWEST, limit)

    def open_output(self, job: str) -> tuple[int, int]:
        """A descriptor of a job's output, and its size.

        Raises:
            NotYet: the job is not completed.
            Gone: a reader has taken it, or it is a folder.
        """
        with self.lock:
            found = self.app.jobqueue.job(job)
            if found.output is None:
                raise NotYet(f"Job {job} is {found.state} and has no output.")
            path = self.app.spool.path(self.app.spool.output_path(found.queue, found.output))
        if path.is_dir():
            raise Gone(f"The output of job {job} is a folder: {found.output}.", "Fetch it from the outbox.")
        try:
            return _opened(path)
        except FileNotFoundError as error:
            raise Gone(f"The output of job {job} is no longer in the outbox.") from error

    # ---------------------------------------------------------------- operators

    def resubmit(self, jobs: Sequence[str] | None, queue: str | None, actor: str, reason: str | None) -> Resubmitted:
        """Let dead jobs wait again: these, or (None) all of a queue, or of all."""
        count, skipped = 0, []
        for job in self._failed(queue) if jobs is None else jobs:
            try:
                with self.lock:
                    found = self.app.jobqueue.job(job)
                    self.app.jobqueue.redrive(found, actor, reason, self.app.clock.now())
                count += 1
            except IndexGone:
                raise
            except PqfsError as error:
                skipped.append((job, error.message))
        return Resubmitted(count, tuple(skipped[:100]))

    def _failed(self, queue: str | None) -> list[str]:
        """All that failed by now, so that what fails again meanwhile is not taken up for ever."""
        found = []
        for state in (State.FAILED, State.UNPROCESSABLE):
            before: str | None = None
            while True:
                page = self.page(Wanted(state, queue), before, _CHUNK)
                found += [job.id for job in page.jobs]
                before = page.next
                if before is None:
                    break
        return found


def _parts(files: Sequence[tuple[str, Path]]) -> Iterator[Part]:
    for name, path in files:
        with path.open("rb") as file:
            yield Part(name, file.fileno(), path.stat().st_size, None)


def _opened(path: Path) -> tuple[int, int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    return descriptor, os.fstat(descriptor).st_size
