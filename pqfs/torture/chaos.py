"""Carries the plan out: kills, stops, freezes and restarts the processes of one stack, and writes down whom it hit.

What may be charged to a job is told by these lines: whose consumer or runner was hit, and which attempt a killed
handler ran. They are written before the blow, so that nothing is ever charged that stands nowhere.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from pqfs.clock import Clock
from pqfs.errors import Unavailable
from pqfs.index import Index
from pqfs.model import State
from pqfs.torture.books import Book
from pqfs.torture.ground import Ground
from pqfs.torture.plan import Act, Kind
from pqfs.torture.targets import Census, Target

_LONG_ENOUGH = 1.5  # seconds in which everybody looks at the disk at least once


@dataclass
class Pending:
    """What is to be undone, and when (seconds of the boot clock): stopped processes, a full disk."""

    until: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def add(self, until: float, undo: Callable[[], object]) -> None:
        """Remember one."""
        self.until.append((until, undo))

    def undo(self, now: float) -> None:
        """Undo everything whose time has come."""
        due = [undo for until, undo in self.until if until <= now]
        self.until = [each for each in self.until if each[0] > now]
        for undo in due:
            undo()


class Chaos:
    """Strikes one stack. `end_operator` kills an operator in the middle of an act."""

    def __init__(
        self, ground: Ground, index: Index, clock: Clock, stack: Stack, end_operator: Callable[[], None]
    ) -> None:
        self._ground = ground
        self._index, self._clock, self._stack, self._end_operator = index, clock, stack, end_operator
        self._census = Census(ground)
        self._book = Book(ground.books / "kills-chaos.jsonl")
        self._pending = Pending()

    def carry_out(self, act: Act) -> bool:
        """Do one act; False when there was nobody to do it to."""
        self._rest(act.pause)
        match act.kind:
            case Kind.EVERYTHING:
                return self._end_everything(act)
            case Kind.FREEZE:
                return self._freeze(act)
            case Kind.RESTART:
                self._note("restart", None)
                self.let_all_go_on()
                self._stack.down()
                self._up(None)
                return True
            case Kind.OPERATOR:
                self._note("operator", None)
                self._end_operator()
                return True
            case Kind.FULL:
                self._fill(max(_LONG_ENOUGH, act.lasting))
                return True
            case Kind.STOP:
                return self._strike(act, act.victim or Kind.CONSUMER, signal.SIGSTOP)
            case kind:
                return self._strike(act, kind, signal.SIGKILL)

    def _rest(self, seconds: float) -> None:
        """Sleep, and undo meanwhile what is to be undone."""
        over = self._clock.boottime() + seconds
        while (now := self._clock.boottime()) < over:
            self._pending.undo(now)
            time.sleep(min(0.05, over - now))

    def let_all_go_on(self) -> None:
        """No process stays stopped, and there is room on the disk."""
        self._pending.undo(float("inf"))

    # ---------------------------------------------------------------- one process

    def _strike(self, act: Act, kind: Kind, number: signal.Signals) -> bool:
        target = self._find(kind, act)
        if target is None:
            return False
        is_kill = number is signal.SIGKILL
        self._note(kind if is_kill else "stop", target)
        if not target.hit(number):
            return False
        if not is_kill:
            self._pending.add(self._clock.boottime() + act.lasting, partial(target.hit, signal.SIGCONT))
        elif kind is Kind.SUPERVISORD:
            self._up(act)
        return True

    def _up(self, act: Act | None) -> None:
        self.let_all_go_on()  # who is stopped holds a name that the new set needs
        self._stack.up(act)

    def _find(self, kind: Kind, act: Act) -> Target | None:
        deadline = time.monotonic() + act.patience
        while True:
            found = self._census.of(kind)
            if found:
                return found[int(act.pick * len(found))]
            if time.monotonic() > deadline:
                return None
            time.sleep(0.02)

    def _note(self, kind: str, target: Target | None) -> None:
        running = self._census.running(target.owner) if target else None
        waiting = sum(number for _, state, number in self._index.counts() if state is State.PENDING)
        self._book.write(
            kind=str(kind), at=self._clock.now(), pid=target.pid if target else None, waiting=waiting,
            owner=target.owner if target else None,
            job=target.job or (running.job if running else None) if target else None,
            attempt=target.attempt or (running.attempt if running else None) if target else None,
            victim=str(target.kind) if target else None,
        )  # fmt: skip

    # ---------------------------------------------------------------- all of them

    def _end_everything(self, act: Act) -> bool:
        self._stop_and_note("everything", signal.SIGKILL)
        while left := self._census.all():  # who was being born when we looked
            for target in left:
                target.hit(signal.SIGKILL)
        self._up(act)
        return True

    def _freeze(self, act: Act) -> bool:
        until = self._clock.boottime() + act.lasting
        for target in self._stop_and_note("freeze", signal.SIGSTOP):
            self._pending.add(until, partial(target.hit, signal.SIGCONT))
        self._rest(act.lasting + 0.05)
        return True

    def _fill(self, lasting: float) -> None:
        """Leave no room on the disk of the spool; the other acts go on meanwhile."""
        self._note("full", None)
        filler = self._ground.disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue  # full, to this size
        self._pending.add(self._clock.boottime() + lasting, partial(filler.unlink, missing_ok=True))

    def _stop_and_note(self, kind: str, number: signal.Signals) -> list[Target]:
        targets = self._census.all()
        for target in targets:
            self._note(kind, target)
        for target in targets:
            target.hit(number)
        return targets


class Stack:
    """Starts and stops the stack of one ground through the command line, as its user does."""

    def __init__(self, ground: Ground, clock: Clock) -> None:
        self._ground, self._clock = ground, clock
        self._census = Census(ground)
        self._book = Book(ground.books / "kills-up.jsonl")

    def up(self, act: Act | None) -> None:
        """`pqfs up -d --no-ui`, until it says that all runs; some are killed on the way and begun again.

        Raises:
            StackDown: it could not be started.
        """
        if act is not None and act.number % 3 == 0:
            self._begin_and_kill(act.pick)
        for _ in range(5):
            command = self._ground.speak("up", "-d", "--no-ui")
            command.communicate()
            if command.returncode == 0:
                return
            if self._census.supervisord() is not None:
                return  # the `up` that we killed had come that far
            time.sleep(0.5)
        raise StackDown("The stack could not be started again.", f"See: {self._ground.books / 'storm.log'}")

    def _begin_and_kill(self, pick: float) -> None:
        command = self._ground.speak("up", "-d", "--no-ui")
        time.sleep(0.3 + pick)
        if command.poll() is None:
            command.kill()
            self._book.write(kind="verb", verb="up", at=self._clock.now())
        command.communicate()

    def down(self) -> None:
        """`pqfs down`."""
        self._ground.speak("down").communicate()


class StackDown(Unavailable):
    """The stack under torture does not start."""
