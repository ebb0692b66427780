"""Everybody works off the same backlog, one after the other, in one run. What counts are the ratios.

    python -m tests.bench.race [--jobs 12000] [--size 1KiB] [--consumers 2] [--rounds 3] [CONTENDER …]
    python -m tests.bench.race --jobs 200000 --rounds 1 --slices 10 pqfs
    python -m tests.bench.race pqfs_postgres procrastinate pgqueuer

Each contender gets a fresh ext4 image (root; else a plain directory), an inbox full of files, and the time from its
start to the last output is taken by a watch on its outbox; `steady` is from the first output to the last, without the
start. Processor time is summed over all its processes, memory is the most that they had resident at one moment.
Contenders take turns, and their medians over the rounds are shown. Who is not installed is skipped, who gets stuck
leaves the race; both are told. Who keeps his jobs on PostgreSQL takes part when he is named: one server for all,
durable, an empty database for each, and its own processor time is not counted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import arena, figures
from tests.bench.arena import Stuck
from tests.bench.drain import Drain, drain
from tests.bench.figures import Figures, Target, Value, median, ratio
from tests.bench.load import Load
from tests.bench.peers import CONTENDERS, Contender

if TYPE_CHECKING:
    from tests.server import Server


_PEERS = {"pqfs": ("bare_loop", "script", "huey"), "pqfs_postgres": ("procrastinate", "pgqueuer")}
_FASTER = {"bare_loop": 1.5, "script": 3.0, "huey": 15.0, "procrastinate": 3.0, "pgqueuer": 1.0}  # at least
_CHEAPER = {"huey": 0.2, "script": 0.7}  # our processor time a job, in theirs, at most
_HOLDS = 0.8  # the last slice of a backlog, in the first: above this we say that the rate holds
Results = dict[str, list[Drain]]


@dataclass(slots=True)
class Race:
    """What each made of each round, who got stuck and has left the race, and on which file system it was."""

    server: Server | None = None
    results: Results = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)
    kind: str = ""

    def run(self, contenders: Sequence[Contender], options: argparse.Namespace) -> None:
        """Let all of them work, in turns."""
        load = Load(options.jobs, options.size)
        for turn in range(options.rounds):
            for contender in (each for each in contenders if each.name not in self.stuck):
                with arena.ground(options.at, load.room) as base:
                    self.kind = arena.kind_of(base)
                    self._start(contender, base, load, options.consumers)
                print(f"round {turn + 1}: {self._told(contender.name)}", file=sys.stderr, flush=True)

    def _told(self, name: str) -> str:
        return self.stuck.get(name) or f"{name} {self.results[name][-1].rate:,.1f}/s"

    def _start(self, contender: Contender, base: Path, load: Load, consumers: int) -> None:
        try:
            found = drain(contender, base, load, consumers, self._address(contender))
        except Stuck as error:
            self.stuck[contender.name] = f"{contender.name} got stuck: {error}"
            self.results.pop(contender.name, None)
        else:
            self.results.setdefault(contender.name, []).append(found)

    def _address(self, contender: Contender) -> str | None:
        if self.server is None or not contender.on_server:
            return None
        name = f"{contender.name}_{len(self.results.get(contender.name, ()))}"
        self.server.run(f"CREATE DATABASE {name}")
        return self.server.address(name)


def row(name: str, drains: Sequence[Drain]) -> dict[str, Value]:
    """The medians of one contender."""
    return {
        "contender": name,
        "jobs/s": median([each.rate for each in drains]),
        "steady jobs/s": median([each.steady_rate for each in drains]),
        "CPU µs/job": median([each.cost for each in drains]) * 1e6,
        "steady CPU µs/job": median([each.steady_cost for each in drains]) * 1e6,
        "peak MiB": median([each.peak for each in drains]) / 2**20,
        "slowest jobs/s": min(each.rate for each in drains),
        "fastest jobs/s": max(each.rate for each in drains),
    }


def targets(results: Results) -> list[Target]:
    """What was promised of us against whom took part. Each ratio is of one round; the median over rounds counts."""
    met = [(ours, name) for ours, peers in _PEERS.items() for name in peers if {ours, name} <= results.keys()]
    found = [
        Target(f"{ours} / {name}, {what}", _median_ratio(results, ours, name, figure), _FASTER[name], at_least=True)
        for ours, name in met
        for what, figure in (("jobs/s from the start", "rate"), ("steady jobs/s", "steady_rate"))
    ]
    found += [
        Target(f"{ours} / {name}, {what}", _median_ratio(results, ours, name, figure), _CHEAPER[name])
        for ours, name in met if name in _CHEAPER
        for what, figure in (("CPU a job", "cost"), ("steady CPU a job", "steady_cost"))
    ]  # fmt: skip
    return found


def _median_ratio(results: Results, ours: str, name: str, figure: str) -> float:
    pairs = zip(results[ours], results[name], strict=True)
    return median([ratio(getattr(mine, figure), getattr(theirs, figure)) for mine, theirs in pairs])


def slices(results: Results, count: int) -> list[dict[str, Value]]:
    """The rate of everybody (jobs/s) from slice to slice of the backlog."""
    return [
        {"slice": f"{number + 1}/{count}"}
        | {
            name: median([each.rate_between(number / count, (number + 1) / count) for each in drains])
            for name, drains in results.items()
        }
        for number in range(count)
    ]


def held(shown: Sequence[Mapping[str, Value]]) -> list[Target]:
    """Whether our rate holds: the last slice beside the first whole one."""
    rates = [float(each["pqfs"] or 0.0) for each in shown if "pqfs" in each]
    return [Target("pqfs, rate of the last slice / first", ratio(rates[-1], rates[0]), _HOLDS, True)] if rates else []


def willing(names: Iterable[str]) -> tuple[list[Contender], list[str]]:
    """Who takes part of those who were asked for (all, if nobody was), and why others do not."""
    asked = [CONTENDERS[name] for name in names] or [each for each in CONTENDERS.values() if not each.on_server]
    return [each for each in asked if not each.absence], [each.absence for each in asked if each.absence]


def _server() -> AbstractContextManager[Server]:
    from tests.server import Server

    return Server.started(safe=True)


def main() -> None:
    parser = arena.arguments(__doc__)
    parser.add_argument(
        "contenders", nargs="*", metavar="CONTENDER", help=f"of: {', '.join(CONTENDERS)} [all without a server]"
    )
    parser.add_argument("--jobs", type=int, default=12_000)
    parser.add_argument("--size", default="1KiB", help="of a file: 0, 1KiB, 64KiB, 10MiB …, or mixed")
    parser.add_argument("--consumers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slices", type=int, default=0, help="show the rate from slice to slice of the backlog")
    options = parser.parse_args()
    if unknown := set(options.contenders) - set(CONTENDERS):
        parser.error(f"nobody knows {', '.join(sorted(unknown))}")
    arena.interruptible()
    contenders, absent = willing(options.contenders)
    with _server() if any(each.on_server for each in contenders) else nullcontext() as server:
        race = Race(server)
        race.run(contenders, options)
    rows, shown = [row(*each) for each in race.results.items()], slices(race.results, options.slices)
    judged, notes = targets(race.results) + held(shown), [*absent, *race.stuck.values()]
    whole = Figures("race", arena.command_line(), rows, judged, notes, {"file system": race.kind}, shown)
    figures.publish(whole, options.json)


if __name__ == "__main__":
    main()
