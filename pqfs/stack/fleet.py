"""The consumers of one spool: which of them a person wants, kept in the index, and supervisor, which runs them.

A change is first noted (the wish and its event, one commit), then carried out: slots are started and stopped one by
one by name. Killed in between, the next change or the next start carries it out. Without a stack the wish alone is
noted. One change at a time: a kernel lock holds up a second one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pqfs.errors import ConsumerNotFound, NotRunning, QueueNotFound, Refused
from pqfs.index import Roster
from pqfs.owners import ProgramLock
from pqfs.pulse import read_beats
from pqfs.report import consumers
from pqfs.stack.configuration import SLOT_NAMES, SLOTS
from pqfs.stack.supervisor import Process, Stopping, Supervisor
from pqfs.wiring import App

Queues = tuple[str, ...] | None
_TURN = 90.0  # seconds for another change to come to its end: it may wait for a consumer that drains
_LOOK_EVERY = 0.1
_DOWN = ("STOPPED", "EXITED", "FATAL")


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and why."""

    name: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a change has begun: consumers that start, and such as were asked to end.

    `is_running` False: there is no stack, and the wish holds from its next start on.
    """

    roster: Roster
    started: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    is_running: bool = True


@dataclass(frozen=True, slots=True)
class _Parting:
    """The consumer that is to end by name; gently: however long what it runs may take."""

    name: str
    gently: bool = False


class Fleet:
    """The consumers of an opened spool. What these verbs begin, `pending` tells until it is done."""

    def __init__(self, app: App, supervisor: Supervisor) -> None:
        self._app = app
        self.supervisor = supervisor

    def roster(self) -> dict[str, Queues]:
        """The consumers that are wanted: as a person has said, else those that run, else as the settings say."""
        found = self._app.index.roster()
        if found is not None:
            return dict(found)
        try:
            names = [each.name for each in self.slots().values() if not each.is_spare and each.state != "STOPPING"]
        except (NotRunning, Stopping):
            names = SLOT_NAMES[: self._app.settings.consumers]
        return dict.fromkeys(names)

    def slots(self) -> dict[str, Process]:
        """Every slot as supervisor sees it, by name.

        Raises:
            NotRunning, Stopping: there is no stack, or it is on its way down.
        """
        return {each.name: each for each in self.supervisor.processes() if each.name in SLOT_NAMES}

    # ---------------------------------------------------------------- changes

    def scale(self, count: int, queues: Queues, author: Author) -> Change:
        """Have so many consumers that serve exactly these queues (None: all). Others are left as they are.

        Raises:
            Refused: there are not so many slots.
            QueueNotFound: a queue is not there.
        """
        self._check(queues)

        def decide(wanted: dict[str, Queues]) -> dict[str, Queues]:
            alike = [name for name, served in wanted.items() if served == queues]
            if count >= len(alike):
                return wanted | dict.fromkeys(self._free(wanted, count - len(alike)), queues)
            dropped = self._dispensable(alike)[: len(alike) - count]
            return {name: served for name, served in wanted.items() if name not in dropped}

        return self._change("scale", decide, author)

    def start(self, name: str, author: Author) -> Change:
        """Have this consumer run; it serves all queues unless it was wanted with others."""
        _check_name(name)
        return self._change("start-consumer", lambda wanted: {name: None} | wanted, author)

    def stop(self, name: str, author: Author) -> Change:
        """Have this consumer end: what runs has `consume.drain` to finish, and is given back after it.

        Raises:
            ConsumerNotFound: it is not wanted, and does not run.
        """
        return self._change("stop-consumer", lambda wanted: self._without(wanted, name), author, _Parting(name))

    def drain(self, name: str, author: Author) -> Change:
        """Have this consumer end when what it runs has ended, however long that takes; it gives the rest back.

        Raises:
            ConsumerNotFound: as `stop`.
            NotRunning: there is no stack.
        """
        self.slots()
        parting = _Parting(name, gently=True)
        return self._change("drain-consumer", lambda wanted: self._without(wanted, name), author, parting)

    def restart(self, name: str, author: Author) -> None:
        """Ask one process (a consumer, ingester, janitor) to end, wait until it has, and start it again."""
        process = self._process(name)
        with self._app.index.transaction():
            now = self._app.clock.now()
            self._app.index.add_event(now, author.name, "restart", reason=author.reason, before=name)
        self.supervisor.stop(process)
        self._await_stop(name)
        self.supervisor.start(process)

    def is_up(self, name: str) -> bool:
        """Whether this process runs and holds its lock."""
        pid = self._process(name).pid
        return any(each.pid == pid and each.program == name for each in self._app.owners.living())

    def _process(self, name: str) -> Process:
        found = {each.name: each for each in self.supervisor.processes()}
        if name not in found:
            raise ConsumerNotFound(name, found)
        return found[name]

    def _without(self, wanted: dict[str, Queues], name: str) -> dict[str, Queues]:
        _check_name(name)
        if name not in wanted and name not in self._up():
            raise ConsumerNotFound(name, sorted(wanted))
        return {each: served for each, served in wanted.items() if each != name}

    def _up(self) -> list[str]:
        try:
            return [name for name, each in self.slots().items() if each.state not in _DOWN]
        except (NotRunning, Stopping):
            return []

    def _check(self, queues: Queues) -> None:
        known = {queue.name for queue in self._app.index.queues()}
        for queue in queues or ():
            if queue not in known:
                raise QueueNotFound(queue, sorted(known))

    def _free(self, wanted: dict[str, Queues], count: int) -> list[str]:
        """Slots for more, the lowest numbers first; none that is still ending, while others are free."""
        busy = set(self._up())
        free = sorted((name for name in SLOT_NAMES if name not in wanted), key=lambda name: (name in busy, name))
        if count > len(free):
            raise Refused(f"No more than {SLOTS} consumers can run.", f"Wanted so far: {len(wanted)}.")
        return free[:count]

    def _dispensable(self, names: Sequence[str]) -> list[str]:
        """In this order they are let go: who does not run, who is idle, who has begun last; high numbers first."""
        seen = {each.program: each for each in consumers(self._app) if each.is_alive}

        def cost(name: str) -> float:
            running = seen[name].running if name in seen else None
            return running.seconds if running else 0.0 if name in seen else -1.0

        return sorted(sorted(names, reverse=True), key=cost)

    # ---------------------------------------------------------------- how

    def _change(
        self,
        verb: str,
        decide: Callable[[dict[str, Queues]], dict[str, Queues]],
        author: Author,
        parting: _Parting | None = None,
    ) -> Change:
        with self._alone():
            before = self.roster()
            after = decide(before)
            self._note(verb, before, after, author)
            return self._carry_out(after, parting)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = ProgramLock(self._app.spool.path("run"), "fleet")
        try:
            if not lock.acquire(_TURN):
                raise Refused("Somebody else is changing which consumers run.", "Try again in a moment.")
            yield
        finally:
            lock.release()

    def _note(self, verb: str, before: Roster, after: Roster, author: Author) -> None:
        with self._app.index.transaction():
            self._app.index.write_roster(after)
            if before != after:
                now, told = self._app.clock.now(), {"before": _told(before), "after": _told(after)}
                self._app.index.add_event(now, author.name, verb, reason=author.reason, **told)
        # Crash here: the wish is noted and not carried out; the next change or the next start does it.

    def _carry_out(self, roster: Roster, parting: _Parting | None) -> Change:
        try:
            slots = self.slots()
        except (NotRunning, Stopping):
            return Change(roster, is_running=False)
        named, draining = parting.name if parting else None, self.draining()
        ending = [each for name, each in slots.items() if name not in roster and each.state not in _DOWN]
        for each in ending:
            if parting and parting.gently and each.name == named and each.state == "RUNNING":
                self.supervisor.signal(each, "USR1")
            elif each.state != "STOPPING" and (each.name == named or each.name not in draining):
                self.supervisor.stop(each)
        starting = [slots[name] for name in roster if name in slots and slots[name].state in (*_DOWN, "STOPPING")]
        for each in starting:
            self._await_stop(each.name)
            self.supervisor.start(each)
        ended = [each.name for each in ending if each.name == named or each.name not in draining]
        return Change(roster, tuple(each.name for each in starting), tuple(ended))

    def draining(self) -> set[str]:
        """The consumers that end when what they run has ended, and claim nothing more."""
        beats = read_beats(self._app.spool.path("run"))
        alive = {each.owner for each in self._app.owners.living()}
        return {each.program for each in beats if each.owner in alive and each.said.get("retiring")}

    def _await_stop(self, name: str) -> None:
        while self._process(name).state not in _DOWN:  # supervisor kills who does not end within its `stopwaitsecs`
            time.sleep(_LOOK_EVERY)

    def pending(self, change: Change) -> list[str]:
        """What of a change is not done yet: consumers that have not registered, or have not ended."""
        ready = {each.program for each in consumers(self._app) if each.is_alive}
        down = {name for name, each in self.slots().items() if each.state in _DOWN}
        return [name for name in change.started if name not in ready] + [
            name for name in change.ended if name not in down
        ]


def _check_name(name: str) -> None:
    if name not in SLOT_NAMES:
        raise ConsumerNotFound(name, [f"{SLOT_NAMES[0]} … {SLOT_NAMES[-1]}"])


def _told(roster: Roster) -> str:
    """`consumer-00 consumer-02[mail]`."""
    return " ".join(f"{name}[{','.join(queues)}]" if queues else name for name, queues in sorted(roster.items()))
