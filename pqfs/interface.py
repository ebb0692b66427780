"""What programs can do with a queue: the one interface that every backend implements.

    from pqfs import get_queue

    with get_queue() as queue:
        job = queue.enqueue("some text")
        ...
        while leased := queue.dequeue():
            queue.acknowledge(leased, leased.path.read_bytes().upper())

A backend is one class below `Queue`. `pqfs.testing.contract` holds the tests that it has to pass, and tells how.

Instants are Unix seconds, durations seconds, sizes bytes. Errors are those of `pqfs.errors`: what can not be carried
out as it stands is `Refused` (`JobNotFound`, `IllegalTransition` …), what may succeed later is `Unavailable`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pqfs.model import Job, State

Payload = bytes | str | Path | IO[bytes]  # text is the bytes of its UTF-8; a Path names a file, which is copied


@dataclass(frozen=True, slots=True)
class LeasedJob:
    """A job that is ours until `lease_end`; `id` and `attempt` together name the lease.

    `path` is the payload: a file to be read and not written, which goes on to its place when the lease ends.
    `is_set`: it is a tar file of files that came together.
    """

    id: str
    attempt: int
    queue: str
    name: str
    size: int
    path: Path
    lease_end: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_set: bool = False


@dataclass(frozen=True, slots=True)
class Stats:
    """How many jobs a queue has in each state; `oldest_wait`: seconds that its longest waiting job has been due."""

    jobs: Mapping[State, int]
    oldest_wait: float | None


class Queue(ABC):
    """One queue. Safe for use by several threads, not by forked processes; close it when done, or use `with`.

    Closing gives back what is still leased, at no cost. So does a lease that runs out, or the death of this process:
    then the job is charged a loss, and given up after `max_losses` of them.
    """

    name: str

    # ---------------------------------------------------------------- producers

    @abstractmethod
    def enqueue(
        self, payload: Payload, *, name: str | None = None, priority: int | None = None, delay: float = 0.0,
        key: str | None = None, metadata: Mapping[str, Any] | None = None,
    ) -> str:  # fmt: skip
        """Make a job and return its id. Once this returns, the job survives anything.

        Args:
            payload: bytes, text, the Path of a file, or an open binary file, which is read to its end.
            name: what the job, and its output, is called; by default the file's name, or `payload.txt`, `.bin`.
            priority: higher runs first; by default the queue's.
            delay: seconds before which it is not run.
            key: an idempotency key. While a job of this queue with the same key waits, runs or is completed, no
                other is made, and its id is returned.
            metadata: plain data that is given to whoever runs the job.

        Raises:
            Refused: the queue takes no such file, or no more of them now. ValueError: a value out of bounds.
            DiskFull: the volume is below low water.
        """

    # ---------------------------------------------------------------- consumers

    @abstractmethod
    def dequeue(self, *, lease: float | None = None, wait: float = 0.0) -> LeasedJob | None:
        """Lease the next job to this process for `lease` seconds (by default `consume.lease`); None: there is none.

        Waits up to `wait` seconds for one. A lease never lasts longer than the queue's `timeout`.

        Raises:
            DiskFull: the volume is below low water, where nothing is begun.
        """

    @abstractmethod
    def extend(self, leased: LeasedJob, seconds: float | None = None) -> LeasedJob:
        """Let a lease end so many seconds from now, at most when the queue's `timeout` is over; the new lease.

        Raises:
            LeaseLost: it has ended, or the job is another's.
        """

    @abstractmethod
    def acknowledge(self, leased: LeasedJob, output: Payload = b"") -> Job:
        """Publish the output and end the job as completed: both or neither. Repeated, it answers as it first did.

        The Path of a folder publishes all files in it as one directory.

        Raises:
            NoOutput: it contains what can not be published (a link, a device); the lease stands.
            LeaseLost: the lease has ended otherwise. Nothing is published: throw the result away.
        """

    @abstractmethod
    def requeue(self, leased: LeasedJob, *, delay: float = 0.0, reason: str | None = None) -> Job:
        """Give a job back at no cost, to be run in `delay` seconds. Errors as `extend`."""

    @abstractmethod
    def fail(self, leased: LeasedJob, error: str) -> Job:
        """Say that the attempt failed: the job is retried, or fails for good, as its queue's limits say.

        Repeated, it answers as it first did. Errors as `extend`.
        """

    @abstractmethod
    def move_to_dead_letter(self, leased: LeasedJob, error: str) -> Job:
        """Say that this input can never succeed: the job fails for good. Repeats and errors as `fail`."""

    # ---------------------------------------------------------------- everybody

    @abstractmethod
    def get(self, job: str) -> Job:
        """A job of any queue, by its id.

        Raises:
            JobNotFound: there is none.
        """

    @abstractmethod
    def list(self, *, state: State | None = None, before: str | None = None, limit: int = 50) -> Sequence[Job]:
        """Jobs of this queue, newest first, 200 at most; the next ones come `before` the id of the last."""

    @abstractmethod
    def stats(self) -> Stats:
        """The queue in figures."""

    @abstractmethod
    def wait(self, job: str, timeout: float | None = None) -> Job:
        """Wait until a job has ended, its output published if it has one; the job.

        Raises:
            TimedOut: it had not after `timeout` seconds. JobNotFound: it has been deleted.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what is leased, and let go of everything. May be repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
