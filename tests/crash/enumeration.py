"""All enumerations, as tasks that several processes share."""

from __future__ import annotations

import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.crash.duels import Ring, duels, fight_out
from tests.crash.protocols import PROTOCOLS
from tests.crash.trials import Bench, doubles, singles, tried
from tests.simulation.ground import ground

POINTS, PAIRS, ROUNDS = "crash points", "double faults", "interleavings"


@dataclass(frozen=True, slots=True)
class Task:
    """One protocol or duel, by its name, in one kind of enumeration."""

    kind: str
    name: str
    every: int
    turn: int = 0  # which ones are tried, where not all of them are


@dataclass(slots=True)
class Tally:
    """What some tasks came to."""

    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


def tasks(every: int, only: str = "", turn: int = 0) -> list[Task]:
    """Everything there is to do."""
    named = [(kind, each.name) for kind in (POINTS, PAIRS) for each in PROTOCOLS]
    named += [(ROUNDS, each.name) for each in duels()]
    return [Task(kind, name, every, turn) for kind, name in named if only in name]


def run(task: Task, address: str | None = None) -> Tally:
    """Do one task in a directory of its own. `address`: of a database, for an index on PostgreSQL."""
    tally = Tally()
    with ground(address) as here:
        bench, ring = Bench(here.root / "world", here.index), Ring(here.root / "world", here.index)
        for tried, error in _enumerated(task, bench, ring):
            tally.counts[task.kind] += 1
            if error is not None:
                said = " ".join(str(error).splitlines()[:3])
                tally.broken.append(f"{tried}: {type(error).__name__} {said}")
    return tally


def _enumerated(task: Task, bench: Bench, ring: Ring) -> Iterator[tuple[object, Exception | None]]:
    if task.kind == ROUNDS:
        (duel,) = (each for each in duels() if each.name == task.name)
        return fight_out(ring, duel, task.every, task.turn)
    (protocol,) = (each for each in PROTOCOLS if each.name == task.name)
    found = singles if task.kind == POINTS else doubles
    return tried(bench, found(bench, protocol, task.every, task.turn))


def run_all(todo: Sequence[Task], jobs: int, address: str | None = None) -> Tally:
    """All of it, on several processes, with a line for each kind of task that broke."""
    whole = Tally()
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for done, tally in enumerate(pool.imap_unordered(partial(run, address=address), todo), 1):
            whole.counts += tally.counts
            whole.broken += tally.broken
            for broken in tally.broken:
                print(f"BROKEN  {broken}", file=sys.stderr, flush=True)
            if done % 20 == 0:
                print(
                    f"{done} of {len(todo)} enumerations, {whole.counts.total():,} tried", file=sys.stderr, flush=True
                )
    return whole
