"""Read-only questions that the command line, the API and the console ask. Nothing here changes anything.

`overview` is one look at a whole spool; what in it needs a person is for `health` to say. Answers are frozen
values; `to_json` turns any of them into plain data: instants (`at`, `…_at`, `…_until`) as ISO 8601 in UTC,
names in their printable form, durations in seconds, sizes in bytes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from pqfs import naming
from pqfs.clock import Clock, boot_id, iso
from pqfs.footing import Footing
from pqfs.hosts import leader
from pqfs.inbox import Inbox
from pqfs.index import Consumer, Index, Queue
from pqfs.model import Job, State
from pqfs.owners import Life, Owners
from pqfs.settings import Settings
from pqfs.slot import read_slot
from pqfs.spool import Spool
from pqfs.terms import Terms

LATE = 60.0  # seconds after which a payload that is not where its row says should long have been moved
COUNT_LIMIT = 10_000  # directory entries that an overview counts, so that it answers at once
_LATE_LIMIT = 500


class Source(Protocol):
    """An opened spool, as far as questions need it; `wiring.App` is one."""

    @property
    def settings(self) -> Settings:
        """Its settings."""

    @property
    def spool(self) -> Spool:
        """Its tree."""

    @property
    def index(self) -> Index:
        """Its rows."""

    @property
    def terms(self) -> Terms:
        """The terms of its queues as they are now."""

    @property
    def owners(self) -> Owners:
        """Who is alive."""

    @property
    def clock(self) -> Clock:
        """The time."""


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """A queue and its jobs by state. `oldest_wait`: seconds that its longest waiting job has been due."""

    name: str
    paused_at: float | None
    paused_by: str | None
    paused_reason: str | None
    paused_until: float | None
    jobs: dict[State, int]
    oldest_wait: float | None


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened in a period that ends now: jobs taken in, completed and failed, bytes taken in."""

    seconds: float
    ingested: float
    completed: float
    failed: float
    bytes: float


@dataclass(frozen=True, slots=True)
class RunningJob:
    """What a consumer runs just now, for how many seconds, and how far it says it is (0.0 to 1.0)."""

    job: str
    name: str
    attempt: int
    seconds: float
    progress: float


@dataclass(frozen=True, slots=True)
class ConsumerStatus:
    """A registered consumer. `queues` None: all. `silent`: seconds since its last heartbeat."""

    owner: str
    program: str
    pid: int
    queues: tuple[str, ...] | None
    life: Life
    started_at: float
    silent: float
    lease: float
    completed: int
    running: RunningJob | None

    @property
    def is_alive(self) -> bool:
        """Whether it lives and has beaten within its lease."""
        return self.life is Life.ALIVE and self.silent <= self.lease

    def serves(self, queue: str) -> bool:
        """Whether it takes jobs of this queue."""
        return self.queues is None or queue in self.queues


@dataclass(frozen=True, slots=True)
class Service:
    """A living process of pqfs on this host."""

    owner: str
    program: str
    pid: int
    started_at: float


@dataclass(frozen=True, slots=True)
class Overview:
    """One look at a spool. Counts of directories stop at 10,000 and are then marked as `…_capped`."""

    at: float
    spool: Path
    jobs: dict[State, int]
    queues: tuple[QueueStatus, ...]
    oldest_wait: float | None
    last_minute: Rates
    last_hour: Rates
    consumers: tuple[ConsumerStatus, ...]
    services: tuple[Service, ...]
    free_bytes: int
    below_low_water: bool
    index_bytes: int
    log_bytes: int
    footing: Footing
    inbox: int
    inbox_capped: bool
    rejected: int
    rejected_capped: bool
    late: int
    leader: str | None  # the host whose janitor leads, where several share the index

    def living(self, kind: str) -> list[Service]:
        """The living processes of a kind: `ingester`, `consumer`, `janitor`."""
        return [each for each in self.services if each.program.startswith(kind)]


def overview(source: Source) -> Overview:
    """Everything that `pqfs status` and the console's first page show, in a few milliseconds."""
    now = source.clock.now()
    counts = source.index.counts()
    queues = tuple(queue_statuses(source, counts, now))
    waits = [each.oldest_wait for each in queues if each.oldest_wait is not None]
    wake = source.index.next_wake()
    if wake is not None and wake <= now:
        waits.append(now - wake)  # due by now, and nobody has claimed since
    gate = Inbox(source.spool.root, source.settings)
    inbox, inbox_capped = _count(gate.path, lambda name: not gate.is_ignored(os.fsencode(name)))
    rejected, rejected_capped = _count(source.spool.path("rejected"), _is_object)
    return Overview(
        at=now, spool=source.spool.root, jobs=_by_state(counts), queues=queues,
        oldest_wait=max(waits, default=None),
        last_minute=_rates(source.index, now, 60.0), last_hour=_rates(source.index, now, 3600.0),
        consumers=tuple(consumers(source)),
        services=tuple(Service(f.owner, f.program, f.pid, f.started_at) for f in source.owners.living()),
        free_bytes=source.spool.free_bytes(),
        below_low_water=source.spool.is_below(int(source.settings.low_water)),
        index_bytes=source.index.engine.bytes(), log_bytes=_size(source.settings.index_log),
        footing=gate.footing, inbox=inbox, inbox_capped=inbox_capped, rejected=rejected,
        rejected_capped=rejected_capped,
        late=sum(1 for job in source.index.unconfirmed(_LATE_LIMIT) if now - job.updated_at > LATE),
        leader=leader(source.settings, source.index),
    )  # fmt: skip


def consumers(source: Source) -> list[ConsumerStatus]:
    """Every registered consumer, with what it runs."""
    boot, boottime, now = boot_id(), source.clock.boottime(), source.clock.now()
    return [
        ConsumerStatus(
            each.owner, each.program, each.pid, each.queues, source.owners.life(each.owner), each.started_at,
            boottime - each.beat_boottime if each.boot_id == boot else now - each.beat_at,
            each.lease, each.completed, _running(source, each),
        )
        for each in source.index.consumers()
    ]  # fmt: skip


def _running(source: Source, consumer: Consumer) -> RunningJob | None:
    running = read_slot(source.spool.path(f"run/{consumer.owner}.slot"))
    if running is None:
        return None
    job = source.index.job(running.job)
    name = naming.printable(job.name) if job else ""
    return RunningJob(running.job, name, running.attempt, source.clock.boottime() - running.started, running.progress)


def _by_state(counts: list[tuple[str, State, int]]) -> dict[State, int]:
    return {state: sum(jobs for _, each, jobs in counts if each is state) for state in State}


def queue_statuses(source: Source, counts: list[tuple[str, State, int]], now: float) -> list[QueueStatus]:
    """Every queue. A pause whose time is over is none, whether the janitor has seen to it or not."""
    rows = [row if row.is_paused(now) else Queue(row.name, row.created_at) for row in source.terms.look()]
    return [
        QueueStatus(
            row.name, row.paused_at, row.paused_by, row.paused_reason, row.paused_until,
            {state: jobs for name, state, jobs in counts if name == row.name},
            _oldest_wait(source, row.name, now),
        )
        for row in rows
    ]  # fmt: skip


def _oldest_wait(source: Source, queue: str, now: float) -> float | None:
    oldest = source.index.oldest_due(queue)
    return None if oldest is None else max(0.0, now - oldest)


def _rates(index: Index, now: float, period: float) -> Rates:
    """Sums over the period. Figures are kept by minute: the first one counts by the part of it that is inside."""
    since = now - period
    total = [0.0] * 4
    for minute, *figures, _ in index.stats(since):
        share = min(1.0, (minute * 60 + 60 - since) / 60)
        total = [sum_ + share * figure for sum_, figure in zip(total, figures, strict=True)]
    return Rates(period, *total)


def _count(directory: Path, wanted: Any) -> tuple[int, bool]:
    """Files below a directory whose names are wanted, and whether counting stopped at the limit."""
    count, pending = 0, [directory]
    while pending:
        try:
            with os.scandir(pending.pop()) as listing:
                for item in listing:
                    if not wanted(item.name):
                        continue
                    if item.is_dir(follow_symlinks=False):
                        pending.append(Path(item.path))
                    else:
                        count += 1
                    if count >= COUNT_LIMIT:
                        return count, True
        except OSError:
            continue  # gone meanwhile, or closed to us
    return count, False


def _is_object(name: str) -> bool:
    """Whether a name in rejected/ is a refused object: not a reason, not hidden."""
    return not name.startswith(".") and not name.endswith(".reason.json")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def job_item(job: Job) -> dict[str, Any]:
    """A job as every listing shows it."""
    return {
        "id": job.id, "name": naming.printable(job.name), "queue": job.queue, "state": str(job.state),
        "priority": job.priority, "attempt": job.attempt, "failures": job.failures, "crashes": job.crashes,
        "size": job.size, "created_at": iso(job.created_at), "ready_at": iso(job.ready_at),
        "updated_at": iso(job.updated_at), "owner": job.owner, "output": job.output, "error": job.error,
        "assigned_to": job.assigned_to,
    }  # fmt: skip


def to_json(value: Any, name: str = "") -> Any:
    """Plain data for JSON."""
    match value:
        case Job():
            return job_item(value)
        case _ if is_dataclass(value):
            return {field.name: to_json(getattr(value, field.name), field.name) for field in fields(value)}
        case dict():
            return {str(key): to_json(each, str(key)) for key, each in value.items()}
        case list() | tuple():
            return [to_json(each) for each in value]
        case float() if name == "at" or name.endswith(("_at", "_until")):
            return iso(value)
        case float():
            return round(value, 3)
        case bytes():
            return naming.printable(value)
        case str() if not naming.is_text(value):
            return naming.printable_path(value)
        case Enum() | Path():
            return str(value.value if isinstance(value, Enum) else value)
        case _:
            return value
