"""One history: lives that interleave before every effect, faults among them, and what must be true at its end.

Every decision is a number that somebody else chooses: a seeded generator, or hypothesis, which then makes a
failing history short. Zero is always the harmless choice. The same numbers give the same history.
"""

from __future__ import annotations

import errno
import logging
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from pqfs.errors import PqfsError
from pqfs.settings import KeepSettings, QueueSettings, Settings
from tests.crash.harness import Scene, check_recovered, finish_all
from tests.simulation.cast import LIVES, Life, Stage, consumer, janitor
from tests.simulation.disk import Choose
from tests.simulation.engine import BROKEN, BUSY, FULL, SimulatedIndex
from tests.simulation.gate import Actor, Fate, Told
from tests.simulation.ledger import Ledger
from tests.simulation.universe import Universe

LONGEST = 600  # steps; a history that is not over by then is ended
EAGER = QueueSettings(backoff=1.0, max_crashes=2)
QUEUES = {"scans": replace(EAGER, sets="manifest", set_policy="wait")}
SETTINGS = (
    Settings(defaults=EAGER, queues=QUEUES),
    Settings(defaults=EAGER, queues=QUEUES, keep=KeepSettings(done=0.0)),
    Settings(defaults=EAGER, queues=QUEUES, keep=KeepSettings(done=20.0, dead=60.0, cancelled=60.0)),
)


class History:
    """Plays one history in a directory that it empties first."""

    def __init__(self, root: Path, engine: SimulatedIndex, choose: Choose) -> None:
        self._choose = choose
        self._rate = (0, 2, 6, 15)[choose(4)]  # faults among a hundred steps
        shutil.rmtree(root, ignore_errors=True)
        self._universe = Universe(root / "spool", SETTINGS[choose(len(SETTINGS))], engine, choose)
        self._universe.open_queue("scans")
        self._stage = Stage(self._universe, Ledger(self._universe))
        self._living: list[Actor] = []
        self._unborn = 3 + choose(8)
        self._crowd = 1 + choose(4)
        self._last: Actor | None = None
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        self.points: set[tuple[str, str]] = set()  # (protocol, crash point)

    # ---------------------------------------------------------------- the play

    def play(self) -> None:
        """All of it, and the judgement at its end.

        Raises:
            AssertionError: something that must be true is not.
        """
        with determined(self._choose(1 << 20)), swallowed() as errors:
            try:
                self._act()
                self._end_all()
                self._judge()
                assert not errors, f"an error of the program was swallowed: {errors[0]!r}"
            finally:
                for actor in self._living:
                    actor.go_on(Told(Fate.KILL))
                self._universe.close()

    def _act(self) -> None:
        for _ in range(LONGEST):
            while self._unborn and len(self._living) < self._crowd:
                self._unborn -= 1
                self._be_born()
            if not self._living:
                return
            self._pass_time()
            if self._choose(100) >= 100 - self._rate:
                self._go_wrong()
            else:
                self._step(self._next(), Told())

    def _be_born(self, life: Life | None = None) -> None:
        life = life or LIVES[self._choose(len(LIVES))]
        actor = Actor(life.__name__, lambda me: life(self._stage, me))
        self._universe.gate.admit(actor)
        self._living.append(actor)

    def _next(self) -> Actor:
        """The one that acted last, as often as not; else anybody who is awake."""
        for each in self._living:
            each.sleeps = max(0, each.sleeps - 1)
        awake = [each for each in self._living if not each.sleeps] or self._living
        if self._last in awake and self._choose(2) == 0:
            return self._last
        self._last = awake[self._choose(len(awake))]
        return self._last

    def _step(self, actor: Actor, told: Told) -> None:
        """Let one actor make the effect that it waits for."""
        effect = actor.waits_for
        self._say(actor, effect, told)
        actor.go_on(told)
        if effect == "C":
            self._stage.ledger.look()
        if effect == "R work outbox":
            self._stage.ledger.check_published()
        if actor.has_ended:
            self._bury(actor)

    def _bury(self, actor: Actor) -> None:
        self._universe.gate.dismiss(actor)
        self._living.remove(actor)
        if actor.owner and self._universe.is_living(actor.owner):
            self._universe.kill(actor.owner)
        if actor.error is not None:
            self.trace.append(f"{actor.name} ended: {type(actor.error).__name__}")
            if not isinstance(actor.error, PqfsError | OSError):
                raise actor.error

    def _say(self, actor: Actor, effect: str, told: Told) -> None:
        said = "" if told.fate is Fate.GO else f"  <- {told.fate.value} {errno.errorcode.get(told.code, '')}"
        self.trace.append(f"{actor.name} {actor.act} {actor.count} {effect or 'begins'}{said}")
        if told.fate is not Fate.GO:
            self._note(actor, told.fate.name)

    def _note(self, actor: Actor, fault: str) -> None:
        self.counts[fault] += 1
        if actor.waits_for:
            self.points.add((actor.act, f"{actor.count} {actor.waits_for}"))

    # ---------------------------------------------------------------- time and faults

    def _pass_time(self) -> None:
        clock = self._universe.clock
        what = self._choose(40)
        clock.pass_by(0.01)
        if what == 39:
            clock.pass_by((1.0, 40.0, 90000.0)[self._choose(3)])
        elif what == 38:
            clock.step((-3600.0, -1.0, 3600.0)[self._choose(3)])

    def _go_wrong(self) -> None:
        """One fault, of a kind that fits what the actor waits for."""
        actor = self._next()
        match self._choose(8):
            case 0 | 1:
                self._step(actor, Told(Fate.KILL))
            case 2:
                self._lose_power(actor)
            case 3:
                self._die_together(actor)
            case 4:
                self._lose_lease(actor)
            case 5:
                self._step(actor, _failure(actor.waits_for, self._choose))
            case _:
                self._step(actor, Told(_lie(actor.waits_for)))

    def _lose_power(self, actor: Actor) -> None:
        """Perhaps an effect, a commit for one, is just happening."""
        if self._choose(2):
            self._step(actor, Told())
        self._note(actor, "POWER")
        self.trace.append(f"power is lost, {self._universe.disk.pending} changes pending")
        self._kill_all()
        self._stage.ledger.power_is_lost()
        self._universe.lose_power()

    def _die_together(self, actor: Actor) -> None:
        self._note(actor, "ALL")
        self._kill_all()
        self._universe.die()

    def _kill_all(self) -> None:
        for actor in list(self._living):
            self._step(actor, Told(Fate.KILL))

    def _lose_lease(self, actor: Actor) -> None:
        """Its lock is free although it goes on, later: a host that was believed dead. Others take over."""
        if actor.name == "consumer" and self._universe.is_living(actor.owner):
            self.trace.append(f"{actor.name} is declared dead and goes on")
            self._note(actor, "ZOMBIE")
            self._universe.kill(str(actor.owner))
            actor.sleeps = self._choose(60)
            self._be_born(janitor)
            self._be_born(consumer)

    # ---------------------------------------------------------------- the end

    def _end_all(self) -> None:
        if self._choose(3) == 2:
            self.trace.append("power is lost at the end")
            self._kill_all()
            self._stage.ledger.power_is_lost()
            self._universe.lose_power()
            self.counts["POWER"] += 1
        else:
            self._kill_all()
            self._universe.die()

    def _judge(self) -> None:
        """Others recover and finish; what must hold then."""
        universe, ledger = self._universe, self._stage.ledger
        scene = Scene.of(universe)
        universe.recover()
        check_recovered(scene.jobs, universe.jobs(), scene.running)
        universe.settle_down()
        ledger.look()
        universe.invariants()
        again = universe.recover()
        assert again.is_empty, f"a second recovery found something to do: {again}"
        ledger.check()
        finish_all(universe)
        ledger.check()
        ledger.check_sets()
        ledger.check_published()
        wrong = universe.files.differences()
        assert not wrong, f"the model of the disk is wrong: {wrong}"


def _failure(effect: str, choose: Choose) -> Told:
    """An error that this effect may report without having happened."""
    match effect[:1]:
        case "C":
            return Told(Fate.FAIL, (BUSY, FULL, BROKEN)[choose(3)])
        case "F" | "S":
            return Told(Fate.FAIL, errno.EIO)
        case "W" | "M":
            return Told(Fate.FAIL, (errno.ENOSPC, errno.EIO)[choose(2)])
        case "R" | "U" | "X":
            return Told(Fate.FAIL, (errno.EIO, errno.ENOSPC, errno.EROFS)[choose(3)])
        case _:
            return Told()


def _lie(effect: str) -> Fate:
    """A commit whose answer gets lost; a rename or an unlink that happened and says that it did not."""
    return Fate.LIE if effect[:1] in ("C", "R", "U") and effect else Fate.GO


@contextmanager
def determined(seed: int) -> Iterator[None]:
    """Names of owners and ids of jobs come from a seed, too: they decide about orders."""
    noise = random.Random(seed)
    with patch.object(os, "urandom", noise.randbytes):
        yield


class _Swallowed(logging.Handler):
    """Errors that a loop of pqfs logged and survived, and that no fault explains."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, PqfsError | OSError):
            self.errors.append(error)


@contextmanager
def swallowed() -> Iterator[list[BaseException]]:
    """The errors that pqfs logs and survives, and that no fault explains; nothing is printed."""
    handler, log = _Swallowed(), logging.getLogger("pqfs")
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.ERROR)
    log.propagate = False
    try:
        yield handler.errors
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate
