"""How long a question takes as a command, its start included, while the index holds very many jobs.

    python -m tests.bench.answers [--jobs 1000000] [--rounds 5]

The jobs are rows alone, since no question goes through the tree: seven in ten completed, with an attempt each, one in
ten pending, one in ten dead with one of 49 errors, the rest held or cancelled, all of one week. Each question is
asked several times; the middle counts.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pqfs.index import Index
from pqfs.index.filters import Filters
from pqfs.index.sqlite import SqliteEngine
from pqfs.model import DEFAULT_QUEUE, Job, Kind, Outcome, Place, State
from pqfs.naming import JobIds, output_name
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool
from pqfs.wiring import open_app
from tests.bench import arena, figures
from tests.bench.arena import Room
from tests.bench.figures import Figures, Target, Value, median

_BOUND = 0.5  # seconds, at most
_CHUNK = 10_000
_WEEK = 6 * 86400.0
_ERRORS = 49
_WORDS = ("page", "font", "table", "image", "stream", "cell", "row")
_OF_TEN = (*[State.COMPLETED] * 7, State.PENDING, State.FAILED, State.HELD)
_PLACES = {
    State.COMPLETED: Place.GONE, State.PENDING: Place.READY, State.HELD: Place.READY, State.FAILED: Place.DEAD,
    State.CANCELLED: Place.CANCELLED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the exit codes that are an answer."""

    name: str
    words: tuple[str, ...]
    codes: tuple[int, ...] = (0,)


def build(settings: Settings, jobs: int) -> None:
    """An index with so many rows."""
    Spool.create(settings.spool)
    open_app(Loaded(settings, {}, None)).close()
    index = Index(SqliteEngine(settings.spool / "index.db", durable=False))
    made = rows(jobs, time.time())
    with index.engine.bulk():
        while chunk := list(islice(made, _CHUNK)):
            with index.transaction():
                index.restore_all(chunk)
                ended = [job for job in chunk if job.state is State.COMPLETED]
                index.record_all([(job, Outcome(Kind.DONE, started_at=job.created_at)) for job in ended], time.time())
    index.close()


def rows(jobs: int, now: float) -> Iterator[Job]:
    """So many, in order of arrival, spread over a week."""
    ids = JobIds()
    for number in range(jobs):
        at = now - _WEEK + _WEEK * number / jobs
        yield _job(number, ids.next(at), at)


def _job(number: int, job: str, at: float) -> Job:
    state = _OF_TEN[number % 10]
    if state is State.HELD and number % 20 == 9:
        state = State.CANCELLED
    name = f"scan-{number:07d}.pdf".encode()
    kind = number // 10 % _ERRORS
    words = f"the {_WORDS[kind % 7]} of a {_WORDS[kind // 7]}"
    return Job(
        job, DEFAULT_QUEUE, name, "ingester.1.0123abcd", state, _PLACES[state], True, 0, 1, 0, 0, 0,
        "consumer-00.1.0123abcd" if state is State.COMPLETED else None, 1000, at, at, at + 1.0,
        output_name(at, job, name) if state is State.COMPLETED else None,
        error=f"{words} can not be read at byte {number}" if state is State.FAILED else None,
    )  # fmt: skip


def questions(index: Index) -> list[Question]:
    """Of jobs in the middle, and of what is not there."""

    def one(state: State) -> Job:
        found = index.jobs(state, None, "~", 1000)
        return found[len(found) // 2]

    group = Filters(index).groups(None, 1)[0].fingerprint
    done = one(State.COMPLETED)
    return [
        Question("status", ("status",)),
        Question("metrics", ("metrics",)),
        Question("queue list", ("queue", "list")),
        Question("queue show", ("queue", "show", DEFAULT_QUEUE)),
        *(Question(f"jobs list {each}", ("jobs", "list", "--state", each)) for each in State),
        Question("jobs list", ("jobs", "list", "--limit", "1000")),
        *(Question(f"why, {each}", ("why", one(each).id)) for each in State if each in _PLACES),
        Question("why, by a name", ("why", done.name.decode())),
        Question("why, of nothing", ("why", "nothing.pdf"), (4,)),
        Question("explain, by id", ("explain", done.id)),
        Question("explain, by output", ("explain", str(done.output))),
        Question("dead list", ("dead", "list")),
        Question("dead show", ("dead", "show", group)),
        Question("audit list", ("audit", "list")),
    ]  # fmt: skip


def seconds(settings: Settings, question: Question) -> tuple[float, float]:
    """How long one takes, and how much processor time."""
    line = [sys.executable, "-m", "pqfs", "--spool", str(settings.spool), "--logs", str(settings.logs)]
    began, before = time.perf_counter(), _spent()
    done = subprocess.run([*line, *question.words], capture_output=True, check=False, cwd=settings.spool.parent)
    took = time.perf_counter() - began
    if done.returncode not in question.codes:
        raise SystemExit(f"{question.name}: exit code {done.returncode}: {done.stderr.decode()}")
    return took, _spent() - before


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(base: Path, jobs: int, rounds: int) -> list[dict[str, Value]]:
    """The middle of several tries of each question."""
    settings = Settings(spool=base, logs=base.parent / "logs")
    build(settings, jobs)
    index = Index(SqliteEngine(settings.spool / "index.db", read_only=True))
    try:
        asked = questions(index)
    finally:
        index.close()
    found: list[dict[str, Value]] = []
    for question in asked:
        took = [seconds(settings, question) for _ in range(rounds)]
        walls, spent = ([each[at] for each in took] for at in (0, 1))
        found.append({"question": question.name, "s": median(walls), "CPU s": median(spent)})
        print(f"{question.name}: {median(walls):.3f} s", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = arena.arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    arena.interruptible()
    with arena.ground(options.at, Room(1000, options.jobs * 1500)) as base:
        kind = arena.kind_of(base)
        found = measure(base, options.jobs, options.rounds)
    judged = [Target(f"{each['question']}, s", float(each["s"] or 0), _BOUND) for each in found]
    whole = Figures("answers", arena.command_line(), found, judged, facts={"file system": kind})
    figures.publish(whole, options.json)


if __name__ == "__main__":
    main()
