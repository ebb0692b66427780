"""What a long backlog costs: claim, ingest, `status`, `why`, the start of the stack, and bytes a row.

    python -m tests.bench.backlog [--levels 1000 100000 1000000] [--completed 20000] [--rounds 3]

At each level a spool is made with so many pending jobs: rows by plain inserts, payloads as empty files, all of one
queue. Then, in this order: claims of 32 jobs each, on a copy of the index; sweeps of a real ingester over 256 new
files each; `pqfs status` and `pqfs why` as commands; and the whole stack, from its start to the first payload that a
runner takes. Wall time of claims and sweeps holds their syncs, processor time does not. The bytes of a completed
row, with its history, come from a stack that has worked so many jobs off.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pqfs.dispatch import Dispatch
from pqfs.inbox import Inbox
from pqfs.index import Index
from pqfs.index.sqlite import SqliteEngine
from pqfs.ingester import Ingester
from pqfs.model import DEFAULT_QUEUE, Arrival
from pqfs.naming import JobIds, Parked
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool
from pqfs.terms import Terms
from pqfs.wiring import open_app
from tests.bench import arena, figures
from tests.bench.arena import Room, Stuck, running
from tests.bench.figures import Figures, Target, Value, median, ratio
from tests.bench.load import Load
from tests.bench.peers import PQFS
from tests.bench.sightings import Sightings
from tests.bench.standing import standing

_COST = 1.2  # the targets: cost beside the smallest level's, at most
_START, _STATUS = 3.0, 0.3  # seconds, at most
_PENDING, _COMPLETED = 400, 900  # bytes a row, at most
_CLAIMS, _CLAIMED = 20, 32
_SWEEPS, _SWEPT = 12, 256
_CHUNK = 10_000
_PATIENCE = 120.0  # seconds for the first claim
_SPARE = 100  # jobs that a start is given, whatever the one before it has left
_ARRIVER, _OWNER = "ingester.1.0123abcd", "consumer-00.1.0123abcd"


@dataclass(frozen=True, slots=True)
class Costs:
    """What one job of several batches cost, in microseconds; the medians over the batches."""

    wall: float
    cpu: float

    @classmethod
    def of(cls, act: Callable[[], int], times: int, before: Callable[[], None] = lambda: None) -> Costs:
        """Repeat an act, which says how many jobs it was about; the first time is for warming up."""
        walls, cpus = [], []
        for _ in range(times):
            before()
            began, used = time.perf_counter(), time.process_time()
            jobs = act()
            walls.append((time.perf_counter() - began) / jobs * 1e6)
            cpus.append((time.process_time() - used) / jobs * 1e6)
        return cls(median(walls[1:]), median(cpus[1:]))

    @classmethod
    def middle(cls, several: Sequence[Costs]) -> Costs:
        """The medians of several such figures."""
        return cls(median([each.wall for each in several]), median([each.cpu for each in several]))


def build(settings: Settings, jobs: int) -> int:
    """A spool with so many pending jobs, at rest; the bytes of its index."""
    _empty(settings).close()
    return add(settings, jobs)


def add(settings: Settings, jobs: int) -> int:
    """So many more pending jobs in a spool that nobody runs; the bytes of its index."""
    spool, index, ids = Spool(settings.spool), _bulk_index(settings), JobIds()
    spool.make_directory(f"ready/{_ARRIVER}")
    ready = os.open(spool.path(f"ready/{_ARRIVER}"), os.O_RDONLY)
    names = (f"scan-{number:07d}.pdf".encode() for number in range(jobs))
    while chunk := list(islice(names, _CHUNK)):
        now = time.time()
        arrivals = [Arrival(ids.next(now), DEFAULT_QUEUE, name, 0) for name in chunk]
        with index.transaction():
            index.insert(arrivals, _ARRIVER, now)
        for each in arrivals:
            parked = str(Parked(each.id, each.queue, os.fsdecode(each.name)))
            os.close(os.open(parked, os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=ready))
    os.close(ready)
    index.close()
    spool.close()
    return (settings.spool / "index.db").stat().st_size


def _empty(settings: Settings) -> Spool:
    Spool.create(settings.spool)
    open_app(Loaded(settings, {}, None)).close()
    return Spool(settings.spool)


def _bulk_index(settings: Settings) -> Index:
    return Index(SqliteEngine(settings.spool / "index.db", durable=False))


def claims(settings: Settings) -> Costs:
    """Lease jobs on a copy of the index, so that the spool stays as it is."""
    copy = settings.spool.parent / "copy.db"
    shutil.copy(settings.spool / "index.db", copy)
    arena.settle(settings.spool)
    index = Index(SqliteEngine(copy))
    dispatch = Dispatch(index, Terms(index, settings))

    def claim() -> int:
        now = time.time()
        with index.transaction():
            return len(dispatch.claim(_OWNER, [DEFAULT_QUEUE], _CLAIMED, now))

    try:
        return Costs.of(claim, _CLAIMS)
    finally:
        index.close()
        copy.unlink()


def sweeps(settings: Settings) -> Costs:
    """Have a real ingester take new files, beside the backlog."""
    app = open_app(Loaded(settings, {}, None))
    ingester = Ingester(app.jobqueue, Inbox(settings.spool, settings), _ARRIVER, app.clock)
    rounds = iter(range(_SWEEPS))

    def fill() -> None:
        prefix = f"new-{next(rounds):02d}-"
        Load(_SWEPT).fill(settings.spool / "inbox", lambda number: f"{prefix}{number:04d}")

    try:
        return Costs.of(lambda: ingester.sweep().taken, _SWEEPS, before=fill)
    finally:
        app.close()


def command_seconds(settings: Settings, *words: str) -> float:
    """How long a command of pqfs takes, its start included."""
    line = [sys.executable, "-m", "pqfs", "--spool", str(settings.spool), "--logs", str(settings.logs), *words]
    began = time.perf_counter()
    subprocess.run(line, check=True, capture_output=True, cwd=settings.spool.parent)
    return time.perf_counter() - began


def first_start(settings: Settings) -> float:
    """Seconds from the start of the stack to the first payload that a runner takes out of ready/."""
    add(settings, _SPARE)  # a start before this one may have worked off a small backlog
    arena.settle(settings.spool)
    command = PQFS.command(settings.spool, 2)
    with Sightings(settings.spool / "claimed") as sightings:
        began = time.perf_counter()
        with running(command, settings.spool):
            seen = sightings.wait(_PATIENCE)
            if not seen:
                raise Stuck(f"Nothing was claimed within {_PATIENCE:g} s.", settings.spool)
            return seen[0].at - began


def level(base: Path, jobs: int, rounds: int) -> dict[str, Value]:
    """All figures of one backlog."""

    def middle(ask: Callable[[], float]) -> float:
        return median([ask() for _ in range(rounds)])

    settings = Settings(spool=base, logs=base.parent / "logs")
    size = build(settings, jobs)
    claim, ingest = Costs.middle([claims(settings) for _ in range(rounds)]), sweeps(settings)
    return {
        "pending": jobs,
        "claim µs": claim.wall,
        "claim CPU µs": claim.cpu,
        "ingest µs": ingest.wall,
        "ingest CPU µs": ingest.cpu,
        "status s": middle(lambda: command_seconds(settings, "status")),
        "why s": middle(lambda: command_seconds(settings, "why", "scan-0000500.pdf")),
        "start to first claim s": middle(lambda: first_start(settings)),
        "bytes a pending job": size / jobs,
    }


def bytes_when_completed(at: Path | None, jobs: int) -> float:
    """Bytes of the index for each job that a stack has completed."""
    files = Load(jobs)
    with arena.ground(at, files.room) as base:
        with standing(PQFS, base, 2) as stand:
            stand.drain(stand.prepare(files, "scan-{:07d}.pdf".format))
        return (base / "index.db").stat().st_size / jobs


def targets(rows: Sequence[Mapping[str, Value]], completed: float) -> list[Target]:
    """What was promised of the longest backlog."""
    least, most = rows[0], rows[-1]
    bounds = {"start to first claim s": _START, "status s": _STATUS, "bytes a pending job": _PENDING}
    costs = [
        Target(f"{name}, {most['pending']:,} / {least['pending']:,} pending", _growth(least, most, name), _COST)
        for name in ("claim µs", "claim CPU µs", "ingest µs", "ingest CPU µs")
    ]
    return [
        *costs,
        *(Target(name, float(most[name] or 0), bound) for name, bound in bounds.items()),
        Target("bytes a completed job, with its history", completed, _COMPLETED),
    ]


def _growth(least: Mapping[str, Value], most: Mapping[str, Value], name: str) -> float:
    return ratio(float(most[name] or 0), float(least[name] or 0))


def main() -> None:
    parser = arena.arguments(__doc__)
    parser.add_argument("--levels", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3, help="of the claims, each command and each start")
    parser.add_argument("--completed", type=int, default=20_000)
    options = parser.parse_args()
    arena.interruptible()
    rows, kind = [], ""
    for jobs in sorted(options.levels):
        with arena.ground(options.at, Room(jobs * 2 + _SWEEPS * _SWEPT, jobs * 1024)) as base:
            kind = arena.kind_of(base)
            rows.append(level(base, jobs, options.rounds))
        print(f"{jobs:,} pending: done", file=sys.stderr, flush=True)
    judged = targets(rows, bytes_when_completed(options.at, options.completed))
    whole = Figures("backlog", arena.command_line(), rows, judged, facts={"file system": kind})
    figures.publish(whole, options.json)


if __name__ == "__main__":
    main()
