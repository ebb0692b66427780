"""What a claim costs on PostgreSQL behind a long backlog, and after many claims: rows that died at its head.

    python -m tests.bench.postgres [--levels 1000 100000 1000000] [--claims 200] [--worked 200000]
    python -m tests.bench.postgres --levels 1000 --worked 0 --sessions 1 2 4 8 [--seconds 5] [--stride 10]
    python -m tests.bench.postgres --levels 1000 --worked 0 --move 1000000

One server of its own, durable, which cleans up behind its writers as it always does; a database for each level, with
so many pending jobs of one queue. A claim is pqfs' own: one transaction, the commit included. Jobs that were claimed
are completed and put away, as consumers do. Then so many jobs as `--worked` says are worked off (at the longest level
only), a hundred at a time, and claims are measured again. `server` is processor time of the session's own process,
which other programs on the machine hardly change; `wall` holds the flush of the log.

With `--sessions` so many processes work one backlog off at once, `--stride` jobs a claim, and nothing else is done:
the rate that the index allows, however many consumers there are. `--move` times what `pqfs index move` does with so
many rows, there and back, while others work: the steps beside them, and the pause.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from pqfs.dispatch import Dispatch
from pqfs.index import Completion, Engine, Index
from pqfs.index.moving import Move, moving, size_of
from pqfs.index.postgres import PostgresEngine
from pqfs.index.sqlite import SqliteEngine
from pqfs.model import DEFAULT_QUEUE, Job, Kind, Outcome, Place, State
from pqfs.settings import Settings
from pqfs.terms import Terms
from tests.bench import arena, figures
from tests.bench.figures import Figures, Target, Value, median, ratio
from tests.server import Server

_COST = 1.2  # the target: cost beside the smallest level's, at most
_BATCHES = (1, 10)
_CHUNK = 100_000  # rows of one insert
_STRIDE = 100  # jobs of one claim while a backlog is worked off
_WARM = 20  # claims that are not counted: the server may change its plan after the fifth
_PRESENT = "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND application_name = 'pqfs'"
_LAST = 1000  # jobs that are worked off in the last moments before a pause
_OWNER = "consumer-00.1.0123abcd"
_FILL = """
INSERT INTO jobs (id, queue, name, arriver, state, place, confirmed, due, priority, attempt, failures, crashes,
                  losses, size, created_at, ready_at, updated_at)
SELECT '01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'), 'default', convert_to('scan-' || n || '.pdf', 'UTF8'),
       'ingester.1.0123abcd', 'pending', 'ready', 1, 1, 0, 0, 0, 0, 0, 0, {now}, {now}, {now}
FROM generate_series({first}, {last}) AS n
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one claim, in microseconds: the median of its time, the mean of its processor time on the server."""

    wall: float
    server: float


@dataclass(frozen=True, slots=True)
class Claimer:
    """Who claims and completes as a consumer does, but without a spool."""

    index: Index
    dispatch: Dispatch
    backend: int  # the process of its session on the server

    def claim(self, limit: int) -> list[Job]:
        """One claim."""
        now = time.time()
        with self.index.transaction():
            return self.dispatch.claim(_OWNER, [DEFAULT_QUEUE], limit, now)

    def finish(self, jobs: Sequence[Job]) -> None:
        """Complete jobs and, in the next transaction, confirm that their payloads are where they belong."""
        now, outcome = time.time(), Outcome(Kind.DONE)
        with self.index.transaction():
            self.index.complete([Completion(job, Place.GONE, f"out-{job.id}", outcome) for job in jobs], now)
            self.index.record_all([(job, outcome) for job in jobs], now)
        with self.index.transaction():
            self.index.confirm([replace(job, state=State.COMPLETED, place=Place.GONE) for job in jobs])

    def cost(self, limit: int, times: int) -> Cost:
        """What claims of so many jobs cost; between them what was claimed is completed."""
        walls, used = list[float](), 0
        for turn in range(times + _WARM):
            began, before = time.perf_counter(), self.used()
            jobs = self.claim(limit)
            if turn >= _WARM:
                walls.append((time.perf_counter() - began) * 1e6)
                used += self.used() - before
            self.finish(jobs)
        return Cost(median(walls), used / times / 1e3)

    def used(self) -> int:
        """Nanoseconds of processor time of the session's process so far."""
        return int(Path(f"/proc/{self.backend}/schedstat").read_text().split()[0])


@contextmanager
def claimer(server: Server, database: str) -> Iterator[Claimer]:
    """Who claims from a database."""
    with closing(PostgresEngine(server.address(database))) as engine:
        index = Index(engine)
        process = int(engine._session.run("SELECT pg_backend_pid()")[0][0])
        yield Claimer(index, Dispatch(index, Terms(index, Settings())), process)


def fill(server: Server, database: str, jobs: int) -> None:
    """So many pending jobs, one after the other, as if an ingester had inserted them."""
    for first in range(0, jobs, _CHUNK):
        told = {"first": first, "last": min(first + _CHUNK, jobs) - 1, "now": time.time()}
        server.run(_FILL.format_map(told), database)


def level(server: Server, jobs: int, claims: int, worked: int) -> list[dict[str, Value]]:
    """The figures of one backlog: as it was filled and, when that is wanted, after so many were worked off."""
    database = f"pending_{jobs}"
    server.run(f"CREATE DATABASE {database}")
    with claimer(server, database) as who:
        fill(server, database, jobs + 2 * sum(_BATCHES) * (claims + _WARM) + worked)
        found = [row(server, who, f"{jobs:,}", claims)]
        if worked:
            for _ in range(0, worked, _STRIDE):
                who.finish(who.claim(_STRIDE))
            found.append(row(server, who, f"{jobs:,}, {worked:,} worked off", claims))
    server.run(f"DROP DATABASE {database}")
    return found


def crowd(server: Server, sessions: int, seconds: float, stride: int) -> dict[str, Value]:
    """What so many sessions get done together."""
    database = f"crowd_{sessions}"
    server.run(f"CREATE DATABASE {database}")
    with closing(PostgresEngine(server.address(database))):
        fill(server, database, _CHUNK)
    with ProcessPoolExecutor(sessions, get_context("spawn")) as pool:
        works = [pool.submit(work, server, database, sessions, seconds, stride) for _ in range(sessions)]
        done = [each.result() for each in works]
    server.run(f"DROP DATABASE {database}")
    jobs, used = sum(each[0] for each in done), sum(each[1] for each in done)
    return {"sessions": sessions, "jobs a claim": stride, "jobs/s": jobs / seconds, "server µs a job": used / jobs}


def work(server: Server, database: str, sessions: int, seconds: float, stride: int) -> tuple[int, float]:
    """Claim and complete once all have come, for so long: jobs, and microseconds of the server's time."""
    with claimer(server, database) as who:
        while server.run(_PRESENT.format(database=database)) < [(sessions,)]:
            time.sleep(0.05)
        jobs, before, until = 0, who.used(), time.perf_counter() + seconds
        while time.perf_counter() < until:
            claimed = who.claim(stride)
            who.finish(claimed)
            jobs += len(claimed)
        return jobs, (who.used() - before) / 1e3


def moves(server: Server, jobs: int) -> Iterator[dict[str, Value]]:
    """Seconds of each step in which an index of so many jobs moves from PostgreSQL to SQLite, and back.

    A tenth of the jobs is worked off meanwhile, and as much as a pipeline does in its last moments before the pause.
    """
    for name in ("old", "new"):
        server.run(f"CREATE DATABASE {name}")
    with TemporaryDirectory(prefix="pqfs-bench-") as folder, ExitStack() as opened:
        old, new = (opened.enter_context(closing(PostgresEngine(server.address(name)))) for name in ("old", "new"))
        file = opened.enter_context(closing(SqliteEngine(Path(folder) / "index.db")))
        fill(server, "old", jobs)
        for way, source, target in (("to SQLite", old, file), ("to PostgreSQL", file, new)):
            yield {"move": way, **steps(source, target, jobs)}


def steps(source: Engine, target: Engine, jobs: int) -> dict[str, Value]:
    """The steps of one move, others at work between them."""
    others, told = (
        Claimer(Index(source), Dispatch(Index(source), Terms(Index(source), Settings())), 0),
        dict[str, Value](),
    )
    with moving(source, target) as move:
        told["copy, s"] = _seconds(lambda: move.copy(_nothing))
        for _ in range(0, jobs // 10, _STRIDE):
            others.finish(others.claim(_STRIDE))
        told["comparison, s"] = _seconds(lambda: move.compare(_nothing))
        told["rows changed"] = move.waiting()
        told["catching up, s"] = _seconds(lambda: move.catch_up(_nothing))
        for _ in range(0, min(jobs, _LAST), _STRIDE):
            others.finish(others.claim(_STRIDE))
        told["pause, s"] = _seconds(partial(_pause, move))
    return {"rows": size_of(target), **told}


def _pause(move: Move) -> None:
    """What the index has to wait for."""
    move.finish(_nothing)
    move.end()


def _nothing(_: int) -> None:
    """Who does not look at the progress."""


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def row(server: Server, who: Claimer, pending: str, claims: int) -> dict[str, Value]:
    """The costs of claims of each size, once what was done before is written out: nobody pays for that."""
    server.run("CHECKPOINT")
    found: dict[str, Value] = {"pending": pending}
    for limit in _BATCHES:
        cost = who.cost(limit, claims)
        found |= {f"wall of {limit}, µs": cost.wall, f"server of {limit}, µs": cost.server}
    return found


def targets(rows: Sequence[Mapping[str, Value]]) -> list[Target]:
    """What was promised: the cost of a claim does not grow with what waits, nor with what has been claimed."""
    return [
        Target(f"{name}: {each['pending']} / {rows[0]['pending']}", _growth(rows[0], each, name), _COST)
        for each in rows[1:]
        for name in each if name != "pending"
    ]  # fmt: skip


def _growth(least: Mapping[str, Value], most: Mapping[str, Value], name: str) -> float:
    return ratio(float(most[name] or 0), float(least[name] or 0))


def main() -> None:
    parser = arena.arguments(__doc__)
    parser.add_argument("--levels", type=int, nargs="+", default=[1000, 100_000, 1_000_000])
    parser.add_argument("--claims", type=int, default=200, help="of each size at each level")
    parser.add_argument("--worked", type=int, default=200_000, help="jobs to work off at the longest level")
    parser.add_argument("--sessions", type=int, nargs="*", default=[], help="that work one backlog off at once")
    parser.add_argument("--seconds", type=float, default=5.0, help="for which they do")
    parser.add_argument("--stride", type=int, default=10, help="jobs of one claim of theirs")
    parser.add_argument(
        "--move", type=int, default=0, metavar="JOBS", help="time the move of so many, there and back"
    )
    options = parser.parse_args()
    arena.interruptible()
    rows, levels = list[dict[str, Value]](), sorted(options.levels)
    with Server.started(safe=True) as server:
        for jobs in levels:
            rows += level(server, jobs, options.claims, options.worked if jobs == levels[-1] else 0)
            print(f"{jobs:,} pending: done", file=sys.stderr, flush=True)
        details = [crowd(server, each, options.seconds, options.stride) for each in options.sessions]
        details += moves(server, options.move) if options.move else ()
        facts = {"file system": arena.kind_of(server.top)}
    whole = Figures("postgres", arena.command_line(), rows, targets(rows), facts=facts, details=details)
    figures.publish(whole, options.json)


if __name__ == "__main__":
    main()
