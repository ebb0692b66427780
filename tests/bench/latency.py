"""From the drop to the output: into an idle queue, one drop at a time, and under a steady load.

    python -m tests.bench.latency [--drops 1000] [--seconds 20] [--jobs 6000] [--rate N] [CONTENDER …]

A drop is one rename into the inbox; the output is seen through inotify. Idle: the next drop comes 20 to 60 ms after
the last output. Under load: prepared files are dropped at an even pace, whether outputs come or not, at half the rate
at which the same contender has just drained a backlog (or at --rate); each is timed from its own drop. pqfs and the
script (which syncs each output) by default, each on fresh ground.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import arena, figures
from tests.bench.arena import Room
from tests.bench.figures import Figures, Target, Value, median, quantile
from tests.bench.load import Load
from tests.bench.peers import CONTENDERS, PQFS, SCRIPT, Contender
from tests.bench.standing import Standing, standing

_PATIENCE = 60.0  # seconds for one output
_FASTEST = 15_000.0  # jobs a second
_IDLE_P99, _IDLE_MORE, _LOADED = 50.0, 5.0, 25.0  # milliseconds: the targets


@dataclass(frozen=True, slots=True)
class Latencies:
    """What one contender's jobs took from drop to output, in milliseconds."""

    idle: Sequence[float]
    loaded: Sequence[float]
    drained: float  # jobs a second
    offered: float

    def row(self, name: str) -> dict[str, Value]:
        """The figures that stand in the table."""
        return {
            "contender": name,
            "idle median ms": median(self.idle),
            "idle p99 ms": quantile(self.idle, 0.99),
            "idle most ms": quantile(self.idle, 1.0),
            "drain jobs/s": self.drained,
            "offered jobs/s": self.offered,
            "loaded median ms": median(self.loaded),
            "loaded p99 ms": quantile(self.loaded, 0.99),
            "loaded most ms": quantile(self.loaded, 1.0),
        }


def measure(contender: Contender, base: Path, options: argparse.Namespace) -> Latencies:
    """Everything of one contender."""
    with standing(contender, base, options.consumers) as stand:
        idle = one_by_one(stand, stand.prepare(Load(options.drops), "drop-{:07d}".format))
        backlog = stand.prepare(Load(options.jobs), "backlog-{:07d}".format)
        drained = stand.drain(backlog).steady_rate
        offered = options.rate or drained / 2
        paths = stand.prepare(Load(max(1, int(offered * options.seconds))), "load-{:07d}".format)
        return Latencies(idle, paced(stand, paths, offered), drained, offered)


def room(options: argparse.Namespace) -> Room:
    """For all drops, where nobody drains faster than we can think of."""
    paced = (options.rate or _FASTEST / 2) * options.seconds
    return Room(2 * (options.drops + options.jobs + int(paced)), 0)


def one_by_one(stand: Standing, paths: Sequence[Path]) -> list[float]:
    """Drop, wait for the output, pause: milliseconds of each."""
    pauses, spent = random.Random(4), []
    for path in paths:
        began = stand.drop(path)
        seen = stand.sightings.wait_for(path.name, _PATIENCE)
        spent.append((seen.at - began) * 1e3)
        time.sleep(pauses.uniform(0.02, 0.06))
    return spent


def paced(stand: Standing, paths: Sequence[Path], rate: float) -> list[float]:
    """Drop at an even pace and look for outputs in between: milliseconds of each.

    Raises:
        TimeoutError: not all came out.
    """
    dropped, spent, start = dict[str, float](), list[float](), time.perf_counter()
    left, deadline = list(reversed(paths)), start + len(paths) / rate + _PATIENCE
    while len(spent) < len(paths):
        due = start + len(dropped) / rate if left else deadline
        if (now := time.perf_counter()) > deadline:
            raise TimeoutError(f"{len(spent)} of {len(paths)} outputs came")
        if now >= due:
            path = left.pop()
            dropped[path.name] = stand.drop(path)
        for seen in stand.sightings.wait(due - now):
            spent.append((seen.at - dropped[seen.of]) * 1e3)
    return spent


def targets(found: dict[str, Latencies]) -> list[Target]:
    """What was promised."""
    if PQFS.name not in found:
        return []
    ours, theirs, beside = found[PQFS.name], found.get(SCRIPT.name), []
    if theirs:
        beside = [Target("idle median, ms (the script's + 5)", median(ours.idle), median(theirs.idle) + _IDLE_MORE)]
    return [
        *beside,
        Target("idle p99, ms", quantile(ours.idle, 0.99), _IDLE_P99),
        Target("median under half the drain rate, ms", median(ours.loaded), _LOADED),
    ]


def main() -> None:
    parser = arena.arguments(__doc__)
    parser.add_argument("contenders", nargs="*", default=[PQFS.name, SCRIPT.name], metavar="CONTENDER")
    parser.add_argument("--drops", type=int, default=1000, help="into the idle queue")
    parser.add_argument("--jobs", type=int, default=6000, help="of the backlog that tells the drain rate")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the load lasts")
    parser.add_argument("--rate", type=float, help="of the load, jobs a second [half the drain rate]")
    parser.add_argument("--consumers", type=int, default=2)
    options = parser.parse_args()
    arena.interruptible()
    found, kind = {}, ""
    for name in options.contenders:
        with arena.ground(options.at, room(options)) as base:
            kind = arena.kind_of(base)
            found[name] = measure(CONTENDERS[name], base, options)
        print(f"{name}: done", file=sys.stderr, flush=True)
    rows = [each.row(name) for name, each in found.items()]
    whole = Figures("latency", arena.command_line(), rows, targets(found), facts={"file system": kind})
    figures.publish(whole, options.json)


if __name__ == "__main__":
    main()
