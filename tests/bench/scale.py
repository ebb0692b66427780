"""From one consumer to eight, from one queue to many, and what a job costs in each process on its way.

    python -m tests.bench.scale [--jobs 6000] [--consumers 1 2 4 8] [--queues 1 50] [--size 1KiB]

Each row is a stack of its own on fresh ground, up and warm before the backlog is moved into its inbox; so the costs
hold no start. Costs are processor time of all processes of a kind, divided by the jobs.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.bench import arena, figures, usage
from tests.bench.drain import Drain
from tests.bench.figures import Figures, Value
from tests.bench.load import Load
from tests.bench.peers import PQFS
from tests.bench.standing import standing

_STAGES = ("ingester", "consumer", "runner", "janitor", "supervisord")


def measure(base: Path, load: Load, consumers: int, queues: int) -> dict[str, Value]:
    """One stack drains one backlog."""
    names = [f"queue{number:03d}" for number in range(queues)] if queues > 1 else []
    (base.parent / "pqfs.toml").write_text("".join(f"[queues.{name}]\n" for name in names))
    with standing(PQFS, base, consumers, names) as stand:
        paths = stand.prepare(load, "job-{:07d}".format)
        before = _spent(stand.pid)
        found = stand.drain(paths, names or [""])
        spent = _spent(stand.pid)
    spent.subtract(before)
    return row(found, spent, consumers, queues)


def _spent(pid: int) -> Counter[str]:
    """Microseconds of processor time of each kind of process so far."""
    spent = Counter[str]()
    for each in usage.tree(pid):
        spent[usage.stage_of(each)] += round(usage.of_process(each).cpu * 1e6)
    return spent


def row(found: Drain, spent: Counter[str], consumers: int, queues: int) -> dict[str, Value]:
    """Rates, and costs by stage."""
    return {
        "consumers": consumers,
        "queues": queues,
        "jobs/s": found.rate,
        "steady jobs/s": found.steady_rate,
        "CPU µs/job": spent.total() / found.done,
        **{f"{stage} µs": spent[stage] / found.done for stage in _STAGES},
        "peak MiB": found.peak / 2**20,
    }


def combinations(options: argparse.Namespace) -> list[tuple[int, int]]:
    """Every number of consumers with one queue, then two consumers with each larger number of queues."""
    return [(consumers, 1) for consumers in options.consumers] + [(2, each) for each in options.queues if each > 1]


def main() -> None:
    parser = arena.arguments(__doc__)
    parser.add_argument("--jobs", type=int, default=6000)
    parser.add_argument("--size", default="1KiB")
    parser.add_argument("--consumers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--queues", type=int, nargs="+", default=[1, 50])
    options = parser.parse_args()
    arena.interruptible()
    rows, kind, load = [], "", Load(options.jobs, options.size)
    for consumers, queues in combinations(options):
        with arena.ground(options.at, load.room) as base:
            kind = arena.kind_of(base)
            rows.append(measure(base, load, consumers, queues))
        print(f"{consumers} consumers, {queues} queues: done", file=sys.stderr, flush=True)
    figures.publish(Figures("scale", arena.command_line(), rows, facts={"file system": kind}), options.json)


if __name__ == "__main__":
    main()
