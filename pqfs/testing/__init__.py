"""For tests of programs that use pqfs: handlers run inline, queues that are gone afterwards, a clock that is set.

    from pqfs.testing import run

    def test_it_shrinks():
        assert run(shrink, "a   b").output == b"a b"

`run` takes a payload through everything that a job goes through, in this process: enqueue, dequeue, the handler, its
verdict. With pytest, the fixture `pqfs_queue` is an empty queue (pqfs brings it; nothing is to be configured):

    def test_it_is_sent(pqfs_queue):
        send_invoice(pqfs_queue, 17)
        assert pqfs_queue.dequeue().path.read_text() == "17"

Time passes when a test says so, where `temporary_queue` is given a `SettableClock`. `pqfs.testing.contract` is what
another backend has to pass.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pqfs import bundle
from pqfs.backends import open_queue
from pqfs.clock import Clock
from pqfs.errors import Permanent, RetryLater
from pqfs.handlers import JobContext, Written
from pqfs.interface import LeasedJob, Payload, Queue
from pqfs.model import DEFAULT_QUEUE, Job, State
from pqfs.spool import Spool

NOON = 1_800_000_000.0  # where a settable clock starts: 2027-01-15T08:00:00Z


class SettableClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = NOON) -> None:
        self._now, self._boottime = now, 1000.0

    def now(self) -> float:
        """The wall clock, in Unix seconds."""
        return self._now

    def boottime(self) -> float:
        """Seconds since boot: what leases are measured by."""
        return self._boottime

    def pass_by(self, seconds: float) -> None:
        """Let time pass, as it does."""
        self._now += seconds
        self._boottime += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock, as an operator or NTP does."""
        self._now += seconds


@contextmanager
def temporary_queue(folder: Path, clock: Clock | None = None, queue: str = DEFAULT_QUEUE) -> Iterator[Queue]:
    """A queue of a new spool in `folder`, with the usual settings. Nothing runs on it but the test.

    Settings of its own are those of a `pqfs.toml` in that folder. It syncs nothing, since nobody needs it tomorrow.
    """
    Spool.create(folder / "spool")
    with open_queue(folder / "spool", queue, clock, {"durability": "relaxed"}) as opened:
        yield opened


@dataclass(frozen=True, slots=True)
class Ran:
    """What one attempt made of a payload.

    `output`: the bytes of the one file; `files`: those of an output directory, by relative path. `error` and `delay`
    (seconds): what the handler raised, and when it wants to be asked again. `progress`: what it has reported.
    """

    state: State
    output: bytes | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    error: str | None = None
    delay: float = 0.0
    progress: tuple[float, ...] = ()


def run(
    handler: Callable[[JobContext], Written | bytes | str | None], payload: Payload | Mapping[str, bytes | str], *,
    name: str | None = None, metadata: Mapping[str, Any] | None = None,
) -> Ran:  # fmt: skip
    """Have a handler process one payload, or one set (files by name), here and now.

    Errors of the handler are caught and told, as they are when pqfs runs it: `state` is then `pending` (it would be
    retried) or `failed`.
    """
    with tempfile.TemporaryDirectory(prefix="pqfs-") as folder, temporary_queue(Path(folder)) as queue:
        is_set = isinstance(payload, Mapping)
        if isinstance(payload, Mapping):
            name, payload = name or "set.tar", _bundled(payload, Path(folder) / "set")
        queue.enqueue(payload, name=name, metadata=metadata)
        leased = queue.dequeue()
        assert leased is not None
        return _attempt(handler, queue, replace(leased, is_set=is_set), Path(folder) / "scratch")


def _bundled(files: Mapping[str, bytes | str], folder: Path) -> Path:
    """The tar file that the ingester would make of these."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    target = folder.with_name("set.tar")
    bundle.write(target, (part for name in files for part in _part(folder / name)), lambda: None)
    return target


def _part(path: Path) -> Iterator[bundle.Part]:
    with path.open("rb") as file:
        yield bundle.Part(path.name, file.fileno(), path.stat().st_size, None)


def _attempt(handler: Callable[[JobContext], Any], queue: Queue, leased: LeasedJob, scratch: Path) -> Ran:
    told: list[float] = []
    scratch.mkdir()
    context = JobContext(
        leased.id, leased.attempt, leased.queue, leased.name, leased.name.encode(), leased.path, scratch / "output",
        scratch / "files", leased.metadata, {}, told.append, is_set=leased.is_set,
    )  # fmt: skip
    try:
        returned = handler(context)
    except RetryLater as error:
        job = queue.requeue(leased, delay=error.delay, reason=error.message)
        return Ran(job.state, error=error.message, delay=error.delay, progress=tuple(told))
    except Permanent as error:
        return _failed(queue.move_to_dead_letter(leased, error.message), told)
    except Exception as error:  # noqa: BLE001 -- whatever a handler raises ends its attempt
        return _failed(queue.fail(leased, f"{type(error).__name__}: {error}"), told)
    return _published(queue, leased, context, returned, tuple(told))


def _failed(job: Job, told: list[float]) -> Ran:
    return Ran(job.state, error=job.error, progress=tuple(told))


def _published(
    queue: Queue, leased: LeasedJob, context: JobContext, returned: Written | bytes | str | None,
    told: tuple[float, ...],
) -> Ran:  # fmt: skip
    """Publish as pqfs does: what was returned, else the file `output`, else the files below `output_dir`."""
    if isinstance(returned, bytes | str):
        context.output.write_bytes(returned.encode() if isinstance(returned, str) else returned)
    if context.output.exists():
        job = queue.acknowledge(leased, context.output)
        return Ran(job.state, context.output.read_bytes(), progress=told)
    folder = context.scratch_dir
    files = {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}
    if not files:
        return _failed(queue.fail(leased, "the handler ended without writing an output"), list(told))
    job = queue.acknowledge(leased, folder)
    return Ran(job.state, files=files, progress=told)
