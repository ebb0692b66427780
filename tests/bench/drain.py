"""One contender works off a backlog: how fast, at what cost, and whether all came out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from tests.bench import usage
from tests.bench.arena import Stuck, running, settle
from tests.bench.load import Load
from tests.bench.peers import Contender
from tests.bench.sightings import Sightings
from tests.bench.usage import Usage

_EVERY = 0.05  # seconds between two looks at the processes
_STALL = 60.0  # seconds without an output: then it has failed


@dataclass(frozen=True, slots=True)
class Moment:
    """So many outputs were there so many seconds after the start, and so much had been used."""

    seconds: float
    outputs: int
    used: Usage


@dataclass(frozen=True, slots=True)
class Drain:
    """What one contender made of a backlog. Times are seconds since its start, memory is bytes, costs are seconds."""

    jobs: int
    moments: tuple[Moment, ...]
    peak: int

    @property
    def done(self) -> int:
        """How many outputs came."""
        return self.moments[-1].outputs if self.moments else 0

    @property
    def rate(self) -> float:
        """Jobs a second, from the start of the contender to its last output."""
        return self.done / self.moments[-1].seconds if self.moments else math.nan

    @property
    def steady_rate(self) -> float:
        """Jobs a second, from the first output to the last: without the start."""
        return self.rate_between(0.0, 1.0)

    @property
    def cost(self) -> float:
        """Processor time a job, of all its processes, the start included."""
        return self.moments[-1].used.cpu / self.done if self.moments else math.nan

    @property
    def steady_cost(self) -> float:
        """Processor time a job, from the first output to the last."""
        if len(self.moments) < 2:
            return math.nan
        first, last = self.moments[0], self.moments[-1]
        return (last.used.cpu - first.used.cpu) / (last.outputs - first.outputs)

    def rate_between(self, begin: float, end: float) -> float:
        """Jobs a second between two shares of the backlog (0.0: the first output, 1.0: the last)."""
        if len(self.moments) < 2:
            return math.nan
        first, last = self._reaches(begin * self.done), self._reaches(end * self.done)
        return (last.outputs - first.outputs) / (last.seconds - first.seconds) if last is not first else math.nan

    def _reaches(self, outputs: float) -> Moment:
        return next((moment for moment in self.moments if moment.outputs >= outputs), self.moments[-1])


def drain(contender: Contender, base: Path, load: Load, consumers: int, address: str | None = None) -> Drain:
    """Fill the inbox of a ground, start a contender, and watch its outbox until all has come out.

    `address` is of an empty database, for who needs a server.

    Raises:
        Stuck: it came to a stop.
    """
    make_places(base)
    load.fill(base / "inbox", "job-{:07d}.bin".format)
    settle(base)
    command = contender.command(base, consumers)
    with Sightings(base / "outbox") as sightings:
        began = time.perf_counter()
        with running(command, base, **contender.variables(consumers, address)) as process:
            return watch(process, sightings, load.jobs, began, base)


def make_places(base: Path, queues: Sequence[str] = ()) -> None:
    """The directories that every contender finds."""
    for name in ("inbox", "outbox", "work"):
        (base / name).mkdir(mode=0o750, exist_ok=True)
    for name in queues:
        (base / "inbox" / name).mkdir()
        (base / "outbox" / name).mkdir()


def watch(process: Popen[bytes], sightings: Sightings, jobs: int, began: float, base: Path) -> Drain:
    """What comes out of a contender until it is `jobs` outputs. Raises as `drain`."""
    watched = _Watched(process)
    moments = tuple(watched.moments(sightings, jobs, began))
    if not moments or moments[-1].outputs < jobs:
        raise Stuck(f"{moments[-1].outputs if moments else 0} of {jobs} outputs came.", base)
    return Drain(jobs, moments, watched.peak)


class _Watched:
    """The processes of a contender while it works; the most memory that they had at one moment."""

    def __init__(self, process: Popen[bytes]) -> None:
        self._process = process
        self.peak = 0

    def moments(self, sightings: Sightings, jobs: int, began: float) -> Iterator[Moment]:
        """Every twentieth of a second in which outputs came, the first as soon as it is seen, until all are there.

        Two outputs of one input count once. Ends early when nothing comes any more.
        """
        names, moved = set[str](), time.perf_counter()
        while len(names) < jobs and time.perf_counter() - moved < _STALL and self._process.poll() is None:
            before = len(names)
            if names:
                time.sleep(_EVERY)
            names.update(sighting.of for sighting in sightings.wait(_EVERY))
            used, now = usage.of_tree(self._process.pid), time.perf_counter()
            self.peak = max(self.peak, used.resident)
            if len(names) > before:
                moved = now
                yield Moment(now - began, len(names), used)
