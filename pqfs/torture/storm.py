"""Starts everything, lets it rage, lets it end by itself, and has it judged.

Order: scratch settings, `pqfs up`, readers, producers, operators, then chaos until the time (or the number of
kills) is over. Then operators and producers end, nobody touches anything any more, and every job must end within a
stated time; then `pqfs fsck`, `pqfs down`, and the verdict from what lies on the disk.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pqfs.clock import Clock
from pqfs.index import Index
from pqfs.model import State
from pqfs.stack.configuration import Instance, check_paths
from pqfs.torture.cast import Cast
from pqfs.torture.chaos import Chaos, Stack
from pqfs.torture.ground import LEASE, QUEUES, Ground
from pqfs.torture.plan import SPARING, acts
from pqfs.torture.targets import left_behind, sweep_away

SETTLE_WITHIN = 120.0  # seconds: a job that met a full disk which only its program saw waits for one minute
FSCK_WITHIN = 15.0
_PROGRESS_EVERY = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: `kills` None means until `seconds` are over; `pace` is the mean pause between two acts."""

    seed: int
    seconds: float
    kills: int | None
    consumers: int
    pace: float


@dataclass(frozen=True, slots=True)
class Glance:
    """How far a storm is. `seconds` are those left, None where kills are counted."""

    phase: str
    seconds: float | None
    sent: int
    out: int
    kills: int


@dataclass(slots=True)
class Ending:
    """What the storm itself saw: written to books/storm.json, for the verdict."""

    seed: int
    consumers: int
    began_at: float
    raged: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    settled: float | None = None
    stuck: list[str] = field(default_factory=list)
    fsck: list[str] = field(default_factory=list)
    left_running: int = 0
    troubles: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """Acts that ended processes with SIGKILL; the end of everything at once counts once."""
        return sum(number for kind, number in self.counts.items() if kind not in SPARING)


class Storm:
    """One storm on one ground, which must be empty: it is prepared at once.

    Raises:
        Misconfigured: the ground's path is too long for a stack, or can not be written into its table.
    """

    def __init__(self, ground: Ground, order: Order, clock: Clock, say: Callable[[Glance], None]) -> None:
        self._ground, self._order, self._clock, self._say = ground, order, clock, say
        ground.prepare(order.consumers)
        check_paths(Instance(ground.loaded(), ground.root, with_ui=False))
        self._stack = Stack(ground, clock)
        self._cast = Cast(ground, order.seed)
        self._ending = Ending(order.seed, order.consumers, clock.now())
        self._said_at = 0.0

    def rage(self) -> None:
        """The whole storm. What it saw is in the books when this returns, and nothing of it runs any more.

        Raises:
            StackDown: the stack under torture could not be started.
        """
        try:
            with self._standing() as index:
                self._strike(index)
                self._settle(index)
                self._check()
        finally:
            self._cast.end()
            sweep_away(self._ground)
        self._ending.troubles += self._cast.troubles
        told = {name: getattr(self._ending, name) for name in Ending.__slots__}
        (self._ground.books / "storm.json").write_text(json.dumps(told))

    @contextmanager
    def _standing(self) -> Iterator[Index]:
        """The stack, up, and stopped in order afterwards."""
        self._stack.up(None)
        index = self._ground.index()
        try:
            yield index
        finally:
            index.close()
        self._stack.down()
        self._ending.left_running = len(left_behind(self._ground))

    # ---------------------------------------------------------------- the storm

    def _strike(self, index: Index) -> None:
        """Chaos, until the time or the number of kills is over."""
        self._cast.enter("readers", "producers", "operators")
        chaos = Chaos(self._ground, index, self._clock, self._stack, lambda: self._cast.kill("operators"))
        began = self._clock.boottime()
        for act in acts(self._order.seed, LEASE, self._order.pace, self._ground.is_small):
            self._ending.raged = self._clock.boottime() - began
            if self._is_over():
                break
            if chaos.carry_out(act):
                self._ending.counts[act.kind] += 1
            else:
                self._ending.missed += 1
            self._cast.look_after()
            self._glance("storm", index)
        chaos.let_all_go_on()

    def _is_over(self) -> bool:
        if self._order.kills is not None:
            return self._ending.kills >= self._order.kills
        return self._ending.raged >= self._order.seconds

    def _glance(self, phase: str, index: Index) -> None:
        if time.monotonic() - self._said_at < _PROGRESS_EVERY:
            return
        self._said_at = time.monotonic()
        left = None if self._order.kills is not None else max(0.0, self._order.seconds - self._ending.raged)
        known = Counter[State]()
        for _, state, number in index.counts():
            known[state] += number
        self._say(Glance(phase, left, known.total(), known[State.COMPLETED], self._ending.kills))

    # ---------------------------------------------------------------- the end

    def _settle(self, index: Index) -> None:
        """Nobody acts any more: every job must end by itself."""
        self._cast.leave("operators")
        self._cast.leave("producers")
        began = self._clock.boottime()
        while waiting := list(self._unended(index)):
            waited = self._clock.boottime() - began
            if waited > SETTLE_WITHIN:
                self._ending.stuck = waiting
                break
            self._glance("settling", index)
            time.sleep(0.05)
        else:
            self._ending.settled = self._clock.boottime() - began
        self._cast.leave("readers")

    def _unended(self, index: Index) -> Iterator[str]:
        """What is still on its way, in words."""
        for queue in QUEUES:
            for name in os.listdir(self._ground.inbox(queue)):
                if name[0] != "." and (self._ground.inbox(queue) / name).is_file():  # hidden: not for ingestion
                    yield f"{name} is in the inbox of {queue}"
        for _, state, number in index.counts():
            if state in (State.PENDING, State.PROCESSING):
                yield f"{number} jobs are {state}"
        yield from (f"job {job.id} ({job.state}) is not put away" for job in index.unconfirmed(20))

    def _check(self) -> None:
        """`pqfs fsck`, while all runs. A finding that the janitor repairs within seconds is none."""
        deadline = self._clock.boottime() + FSCK_WITHIN
        while True:
            command = self._ground.speak("fsck", "--json")
            told = command.communicate()[0]
            if command.returncode == 0 or self._clock.boottime() > deadline:
                break
        found = json.loads(told)["items"] if told else [{"name": "fsck", "explanation": "it gave no answer"}]
        self._ending.fsck = [f"{each['name']}: {each.get('path')}: {each['explanation']}" for each in found]
