"""Trials: a protocol with a fault before one of its effects, and perhaps a second one inside the recovery from it.

They run in a simulated universe, so that a fault may be a loss of power, too. A trial is repeated from its beginning
for each fault: everything in it is determined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from shutil import rmtree

from pqfs.errors import PqfsError
from tests.crash.harness import Crash, Scene, after_crash
from tests.crash.protocols import Plan, Protocol
from tests.simulation.engine import SimulatedIndex
from tests.simulation.history import determined, swallowed
from tests.simulation.universe import Universe


class Fault(Enum):
    """What befalls an effect. The losses of power differ in what is left of what was not durable."""

    KILL = "killed before it"
    LIE = "it happened, its answer got lost"
    ALL = "power lost, everything written"
    NONE = "power lost, nothing written"
    ARRIVALS = "power lost, both names written"

    @property
    def is_loss_of_power(self) -> bool:
        """Whether the disk forgets."""
        return self in _SURVIVORS


_SURVIVORS = {Fault.ALL: 0, Fault.NONE: 1, Fault.ARRIVALS: 3}


@dataclass(frozen=True, slots=True)
class Point:
    """A fault before (a lie: at) one effect."""

    fault: Fault
    effect: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: a protocol, a fault in it, perhaps one inside recovery."""

    protocol: Protocol
    first: Point
    second: Point | None = None

    def __str__(self) -> str:
        """For a report: enough to see it again."""
        points = [self.first] + ([self.second] if self.second else [])
        return f"{self.protocol.name}: " + ", then in recovery ".join(
            f"effect {each.effect} {each.fault.name}" for each in points
        )


class Bench:
    """Runs trials, each in a fresh universe."""

    def __init__(self, root: Path, engine: SimulatedIndex) -> None:
        self._root = root
        self._engine = engine

    def run(self, trial: Trial) -> tuple[list[str], list[str]]:
        """Run one; the effects of its act and of the recovery after it, as far as they came.

        Raises:
            AssertionError: something that must hold does not.
        """
        with determined(1), swallowed() as errors:
            universe = self._universe(trial)
            try:
                traces = self._run(universe, trial)
            finally:
                universe.close()
            assert not errors, f"an error of the program was swallowed: {errors[0]!r}"
            return traces

    def _universe(self, trial: Trial) -> Universe:
        rmtree(self._root, ignore_errors=True)
        faults = [trial.first.fault] + ([trial.second.fault] if trial.second else [])
        survivors = next((_SURVIVORS[each] for each in faults if each.is_loss_of_power), 0)
        return Universe(
            self._root / "spool", trial.protocol.settings, self._engine, lambda below: min(survivors, below - 1)
        )

    def _run(self, universe: Universe, trial: Trial) -> tuple[list[str], list[str]]:
        plan = trial.protocol.arrange(universe)
        acknowledged = _attempt(universe, plan.act, trial.first)
        act = universe.gate.trace
        if acknowledged:
            plan.promise(universe)
        _end(universe, trial.first.fault)
        scene, recovery = Scene.of(universe), list[str]()
        if trial.second:
            _attempt(universe, lambda: _recover(universe, plan), trial.second)
            recovery = universe.gate.trace
            _end(universe, trial.second.fault)
            if trial.second.fault is not Fault.KILL:
                scene = Scene.of(universe)
        after_crash(universe, scene, plan.mend)
        if acknowledged:
            plan.promise(universe)
        if universe.boots == 1 or plan.survives_power:
            plan.always(universe)
        return act, recovery


def _recover(universe: Universe, plan: Plan) -> None:
    if plan.mend:
        plan.mend(universe)
    universe.recover()


def _attempt(universe: Universe, act: Callable[[], object], point: Point) -> bool:
    """Act with a fault; whether it was acknowledged."""
    gate = universe.gate
    gate.arm(None if point.fault is Fault.LIE else point.effect)
    gate.lie_at = point.effect if point.fault is Fault.LIE else None
    try:
        act()
    except (Crash, PqfsError, OSError):
        return False
    finally:
        gate.at, gate.lie_at = None, None
    return point.fault is not Fault.LIE or bool(universe.deleted)  # a lie may cost an attempt


def _end(universe: Universe, fault: Fault) -> None:
    if fault.is_loss_of_power:
        universe.lose_power()
    else:
        universe.die()


# -------------------------------------------------------------------- enumeration


NEVER = 10_000  # an effect that no act has


def singles(bench: Bench, protocol: Protocol, every: int = 1, turn: int = 0) -> Iterator[Trial]:
    """Every fault (one in `every`) at every effect of a protocol, and after its last. `turn`: as below."""
    act, _ = bench.run(Trial(protocol, Point(Fault.KILL, NEVER)))
    for point in list(_points([*act, "the end"]))[turn % every :: every]:
        yield Trial(protocol, point)


def doubles(bench: Bench, protocol: Protocol, every: int = 1, turn: int = 0) -> Iterator[Trial]:
    """A kill before every effect of a protocol, and every fault (one in `every`) in the recovery from it.

    `turn`: which ones are tried of them.
    """
    act, _ = bench.run(Trial(protocol, Point(Fault.KILL, NEVER)))
    for n in range(1, len(act) + 2):
        first = Point(Fault.KILL, n)
        _, recovery = bench.run(Trial(protocol, first, Point(Fault.KILL, NEVER)))
        for point in list(_points(recovery))[(n + turn) % every :: every]:
            yield Trial(protocol, first, point)


def _points(effects: list[str]) -> Iterator[Point]:
    for fault in Fault:
        for n, effect in enumerate(effects, 1):
            if fault is not Fault.LIE or effect[0] in "CRU":
                yield Point(fault, n)


def tried(bench: Bench, trials: Iterator[Trial]) -> Iterator[tuple[Trial, Exception | None]]:
    """Run trials, and tell what broke in each."""
    for trial in trials:
        try:
            bench.run(trial)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is reported with its trial
            yield trial, error
        else:
            yield trial, None
