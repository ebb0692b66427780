"""Many histories: by their seeds, on several processes, and what they came to."""

from __future__ import annotations

import multiprocessing
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.simulation.engine import SimulatedIndex
from tests.simulation.ground import ground
from tests.simulation.history import History

_CHUNK = 100


@dataclass
class Tally:
    """What some histories came to."""

    histories: int = 0
    steps: int = 0
    broken: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    points: set[tuple[str, str]] = field(default_factory=set)

    def add(self, other: Tally) -> None:
        """Take another's figures in."""
        self.histories += other.histories
        self.steps += other.steps
        self.broken += other.broken
        self.counts += other.counts
        self.points |= other.points

    @property
    def details(self) -> dict[str, int | float | str]:
        """The figures for the row."""
        return {
            "steps": self.steps,
            "distinct (protocol, crash point) pairs": len(self.points),
            "power losses": self.counts["POWER"],
            "kills": self.counts["KILL"],
            "kills of all": self.counts["ALL"],
            "unknown commits and lies": self.counts["LIE"],
            "failed operations": self.counts["FAIL"],
            "zombies": self.counts["ZOMBIE"],
        }


def play_one(root: Path, engine: SimulatedIndex, seed: int) -> tuple[History, BaseException | None]:
    """One history by its seed, and what broke."""
    chance = random.Random(seed)
    history = History(root, engine, lambda below: int(chance.random() * below))
    try:
        history.play()
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is reported with its seed
        return history, error
    return history, None


def play_many(seeds: Sequence[int], address: str | None = None) -> Tally:
    """The histories of some seeds. `address`: of a database on PostgreSQL where their indexes are to be on one."""
    tally = Tally()
    with ground(address) as here:
        for seed in seeds:
            history, error = play_one(here.root / "world", here.index, seed)
            tally.histories += 1
            tally.steps += len(history.trace)
            tally.counts += history.counts
            tally.points |= history.points
            if error is not None:
                first = str(error).splitlines()
                tally.broken.append(f"--history {seed}: {type(error).__name__} {' '.join(first[:3])}")
    return tally


def run(histories: int, seed: int, jobs: int, address: str | None = None) -> Tally:
    """Histories with the seeds from `seed` on, on several processes, with a line now and then."""
    chunks = [range(first, min(first + _CHUNK, seed + histories)) for first in range(seed, seed + histories, _CHUNK)]
    whole, said = Tally(), time.monotonic()
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for tally in pool.imap_unordered(partial(play_many, address=address), chunks):
            whole.add(tally)
            for broken in tally.broken:
                print(f"BROKEN  {broken}", file=sys.stderr, flush=True)
            if time.monotonic() - said > 10.0:
                said = time.monotonic()
                print(f"{whole.histories:,} histories, {len(whole.broken)} broken", file=sys.stderr, flush=True)
    return whole
