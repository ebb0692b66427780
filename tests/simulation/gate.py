"""Actors that stop before each of their effects, and the gate at which they wait.

Each actor is a greenlet that runs real code of pqfs. Before an effect it switches to the main greenlet, which goes
on with whomever it likes and tells the actor, when it comes back to it, what becomes of the effect. A transaction
is one effect: the actor stops before BEGIN and not again before its COMMIT, because nobody else could write then
and whoever read would see what there was before it. So what it writes to the spool inside one, which must be a file
of its own, is part of that effect; a death in between is tried by the crash points, of which each such write is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from greenlet import getcurrent, greenlet

from tests.crash.harness import Crash, Fuse


class Fate(Enum):
    """What becomes of an effect."""

    GO = "it happens"
    KILL = "its actor dies before it"
    LIE = "it happens and says that it did not"
    FAIL = "it does not happen and says so"


@dataclass(frozen=True, slots=True)
class Told:
    """What the scheduler tells an actor that waits: a fate, and the error number of a failure."""

    fate: Fate = Fate.GO
    code: int = 0


class Actor:
    """Somebody who acts: a process of pqfs, a person, a producer."""

    def __init__(self, name: str, run: Callable[[Actor], None]) -> None:
        self.name = name
        self.owner: str | None = None
        self.act = name  # the protocol that it is at
        self.count = 0  # the effects of this protocol so far
        self.waits_for = ""  # the effect before which it waits
        self.sleeps = 0  # steps of others before it goes on
        self.is_dead = False
        self.error: BaseException | None = None
        self._run = run
        self._greenlet = greenlet(self._live)

    def begin(self, act: str) -> None:
        """A protocol begins: its effects are counted anew."""
        self.act, self.count = act, 0

    @property
    def has_ended(self) -> bool:
        """Whether it will do nothing any more."""
        return bool(self._greenlet.dead)

    def go_on(self, told: Told) -> None:
        """Let it make its effect and run up to the next one, or to its end."""
        if told.fate is Fate.KILL:
            self.is_dead = True
        waits_for = self._greenlet.switch(told)
        self.waits_for = waits_for if isinstance(waits_for, str) else ""

    def _live(self, told: Told) -> None:
        if told.fate is Fate.KILL:
            return
        try:
            self._run(self)
        except Crash:
            pass
        except Exception as error:  # noqa: BLE001 -- the scheduler judges what an actor may end with
            self.error = error


class Gate(Fuse):
    """Where actors wait. In the main greenlet (arrangements, checks) it is the fuse that it is made of."""

    def __init__(self) -> None:
        super().__init__()
        self._main = getcurrent()
        self._actors: dict[object, Actor] = {}
        self.in_transaction = False

    def admit(self, actor: Actor) -> None:
        """A new actor."""
        self._actors[actor._greenlet] = actor

    def dismiss(self, actor: Actor) -> None:
        """It has ended."""
        del self._actors[actor._greenlet]

    def actors(self) -> list[Actor]:
        """Everybody who has not ended."""
        return list(self._actors.values())

    @property
    def actor(self) -> Actor | None:
        """Who is acting just now; None in the main greenlet."""
        return self._actors.get(getcurrent())

    def effect(self, name: str) -> bool:  # type: ignore[override]
        """Wait until the effect may happen. True when it is to happen and to say that it did not.

        Raises:
            Crash: the actor is dead.
            OSError: the effect fails.
        """
        actor = self.actor
        if actor is None:
            super().effect(name)
            return self.lie_at == len(self.trace)
        if actor.is_dead:
            raise Crash(name)
        if self.in_transaction:
            assert name.endswith(("meta", "meta meta")), f"{name} inside a transaction: others would see it too soon"
            return False
        actor.count += 1
        told: Told = self._main.switch(name)
        if told.fate is Fate.KILL or actor.is_dead:
            raise Crash(name)
        if told.fate is Fate.FAIL:
            raise OSError(told.code, "so the simulation wants")
        return told.fate is Fate.LIE
