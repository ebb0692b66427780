"""The acts of chaos, one after another, from a seed: the same seed makes the same plan. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What chaos does; all but the stops end a process with SIGKILL."""

    RUNNER = "runner"
    HANDLER = "handler"
    GRANDCHILD = "grandchild"
    CONSUMER = "consumer"
    INGESTER = "ingester"
    JANITOR = "janitor"
    OPERATOR = "operator"
    SUPERVISORD = "supervisord"
    EVERYTHING = "everything"
    STOP = "stop"  # one process is stopped, and goes on later
    FREEZE = "freeze"  # all of them at once, as when a machine sleeps
    RESTART = "restart"  # an orderly down and up
    FULL = "full"  # the disk is full for a while; only where there is a small one


SPARING = frozenset({Kind.STOP, Kind.FREEZE, Kind.RESTART, Kind.FULL})  # all others end processes
STOPPABLE = (Kind.CONSUMER, Kind.RUNNER, Kind.INGESTER, Kind.JANITOR, Kind.HANDLER, Kind.GRANDCHILD, Kind.SUPERVISORD)

_WEIGHTS: dict[Kind, float] = {
    Kind.RUNNER: 380,
    Kind.HANDLER: 260,
    Kind.GRANDCHILD: 150,
    Kind.CONSUMER: 90,
    Kind.INGESTER: 30,
    Kind.JANITOR: 30,
    Kind.OPERATOR: 8,
    Kind.SUPERVISORD: 2,
    Kind.EVERYTHING: 1.5,
    Kind.STOP: 30,
    Kind.FREEZE: 1,
    Kind.RESTART: 0.7,
}
_SMALL: dict[Kind, float] = {kind: weight for kind, weight in _WEIGHTS.items() if weight > 2} | {Kind.FULL: 50}
_PATIENCE, _FIRST_PATIENCE = 0.4, 5.0  # seconds
_LONGEST_STOP = 1.8  # leases


@dataclass(frozen=True, slots=True)
class Act:
    """One act: after `pause` seconds, on one of the processes of its kind (`pick`, in [0, 1)).

    `patience` is how long to wait for such a process, `lasting` how long a stop or a full disk lasts, in seconds;
    `victim` is whom it stops.
    """

    number: int
    kind: Kind
    pause: float
    pick: float
    patience: float
    lasting: float = 0.0
    victim: Kind | None = None


def acts(seed: int, lease: float, pace: float, on_small_disk: bool = False) -> Iterator[Act]:
    """The plan, without an end. `pace` is the mean pause between two acts in seconds.

    Each kind of act comes once among the first forty, so that a short storm has seen all of them. On a small disk
    that is filled again and again there are no restarts of the whole stack.
    """
    chance = random.Random(f"{seed}/chaos")
    weights = _SMALL if on_small_disk else _WEIGHTS
    first = list(weights)
    chance.shuffle(first)
    number = 0
    while True:
        # Every third act is one of the first round while that lasts: a storm is never all rare acts at once.
        is_first = bool(first) and number % 3 == 2
        kind = first.pop() if is_first else chance.choices(list(weights), list(weights.values()))[0]
        yield _act(number, kind, chance, _FIRST_PATIENCE if is_first else _PATIENCE, lease, pace)
        number += 1


def _act(number: int, kind: Kind, chance: random.Random, patience: float, lease: float, pace: float) -> Act:
    pause, pick = chance.uniform(0.0, 2 * pace), chance.random()
    lasting, victim = chance.uniform(0.05, _LONGEST_STOP) * lease, chance.choice(STOPPABLE)
    if kind is Kind.STOP:
        return Act(number, kind, pause, pick, patience, lasting, victim)
    return Act(number, kind, pause, pick, patience, lasting)
