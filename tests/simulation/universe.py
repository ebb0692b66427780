"""A world of tests/crash whose disk forgets, whose clock is set, and whose people wait at a gate."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pqfs.errors import VolumeFault
from pqfs.inbox import Inbox
from pqfs.index import Index
from pqfs.ingester import Ingester
from pqfs.janitor import Janitor
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome
from pqfs.places import DIRECTORIES
from pqfs.settings import Settings
from pqfs.spool import Spool
from tests.crash.harness import Mortals, StandIn, World, digest, output_of
from tests.simulation.disk import Choose, Disk
from tests.simulation.engine import SimulatedIndex
from tests.simulation.files import SimulatedFiles
from tests.simulation.gate import Gate
from tests.world import published


class Universe(World):
    """One spool, everybody who works on it, and what producers and readers know of it."""

    def __init__(self, root: Path, settings: Settings, engine: SimulatedIndex, choose: Choose) -> None:
        for name in DIRECTORIES:
            (root / name).mkdir(parents=True, mode=0o750)
        self.gate = Gate()
        self.choose = choose
        self.synced: set[bytes] = set()  # names that producers have made durable themselves
        self.engine = engine
        engine.begin_anew(root / "index.db", self.gate)
        self.disk = Disk()
        super().__init__(root, settings)
        self.files.learn_tree()

    def _open(self) -> None:
        self.fuse = self.gate
        self.files = SimulatedFiles(self.root, self.disk, self.gate, self.clock)
        self.alarms = self.root.parent / "memory"
        self.alarms.mkdir(exist_ok=True)
        self.spool = Spool(self.root, self.files, alarms=self.alarms)
        self.index = Index(self.engine)
        self.jobqueue = JobQueue(self.spool, self.index, self.settings, chance=lambda: 0.5)
        self.owners = Hangmen(self)

    def open_queue(self, name: str) -> None:
        """A queue, with a folder for its producers."""
        (self.root / "inbox" / name).mkdir()
        self.files.learn_tree()
        with self.index.transaction():
            self.index.create_queue(name, self.clock.now())

    # ---------------------------------------------------------------- people

    def owner(self, program: str) -> str:
        """A living owner's name, of whoever acts just now."""
        name = super().owner(program)
        if self.gate.actor is not None:
            self.gate.actor.owner = name
        return name

    def is_living(self, owner: str | None) -> bool:
        """Whether an owner holds its lock."""
        return any(each.name == owner for each in self._locks)

    def leave(self, owner: str) -> None:
        """An owner ends as it should; one that was declared dead has no lock to give back."""
        if self.is_living(owner):
            super().leave(owner)

    def janitor(self) -> Janitor:
        """A janitor of this boot."""
        return Janitor(self.jobqueue, self.recovery(), self.owners, self.clock, self.owner("janitor"), self.boot)

    # ---------------------------------------------------------------- ends

    def die(self) -> None:
        """Every process is killed at once."""
        self._let_go()
        self.clock.pass_by(0.5)

    def _let_go(self) -> None:
        self.gate.arm(None)
        self.gate.lie_at = None
        for lock in self._locks:
            os.close(lock._descriptor)
        self._locks = []
        self._slots = {}

    def lose_power(self) -> None:
        """Everybody dies, the disk forgets, and the machine starts again."""
        self._let_go()
        self.spool.close()
        self.files.lose_power(self.choose)
        self.engine.lose_power(self.choose)
        shutil.rmtree(self.alarms)
        self.boots += 1
        self.boot = f"boot-{self.boots}"
        self.clock.boot = 10.0
        self.clock.wall += 30.0
        self._open()
        self._what_producers_find()

    def _what_producers_find(self) -> None:
        """What was neither synced by its producer nor a job yet may be missing or torn, and is sent no more."""
        jobs = {job.name for job in self.jobs().values()}
        there = {os.fsencode(path.name): path for path in (self.root / "inbox").iterdir() if path.is_file()}
        for path, parked in self.spool.payloads():
            there.setdefault(os.fsencode(parked.name), self.spool.path(path))
        for name in set(self.sent) - jobs - self.synced:
            del self.sent[name]
            if name in there:
                self.sent[name] = there[name].read_bytes()

    def die_again(self) -> None:
        """After `close`: others start."""
        self._open()

    def lose_index(self) -> None:
        """Somebody removes the index while nothing runs, long after; then others start."""
        self.disk.sync_all()
        self.close()
        self.engine.begin_anew(self.root / "index.db", self.gate)
        self.die_again()

    def may_charge(self, owner: str) -> bool:
        """Only in its own boot: nobody is charged across one, nor where nobody knows of which boot a slot is."""
        facts = self.owners.facts(owner)
        return facts is not None and facts.boot_id == self.boot

    def drop(self, name: bytes, data: bytes | None = None, queue: str | None = None) -> bytes:
        """A producer delivers a file, durably."""
        dropped = super().drop(name, data, queue)
        self.files.learn_tree()
        self.synced.add(name)
        return dropped

    def drop_link(self, name: str, target: str) -> None:
        """A producer delivers a symbolic link, durably."""
        super().drop_link(name, target)
        self.files.learn_tree()

    def settle_down(self) -> None:
        """After a loss of power: the next sweep unlinks what is in the inbox and in ready/, the next purge what is
        back in done/, once its time is over again: the clock may have been set back since."""
        if self.boots == 1:
            return
        self.clock.pass_by(max(0.0, self.clock.latest - self.clock.now()))
        try:
            self._look_around()
        except VolumeFault:  # told of bytes that were lost before its time: it ends, and others go on
            self.die()
            self.recover()
            self._look_around()
        self.die()

    def _look_around(self) -> None:
        owner = self.owner("ingester")
        Ingester(self.jobqueue, Inbox(self.root, self.settings), owner, self.clock).sweep()
        self.leave(owner)
        self.janitor().purge()

    def drain(self) -> None:
        """Living processes do what is left. One that is told of bytes lost before its time ends; others adopt."""
        try:
            super().drain()
        except VolumeFault:
            self.die()
            self.recover()
            super().drain()

    def close(self) -> None:
        """Everything this process holds."""
        self._let_go()
        self.spool.close()

    def invariants(self, at_rest: bool = True, astray: object = ()) -> None:
        """What must always be true; an output that was taken when power was lost, or before recovery, may be back."""
        if self.boots > 1:
            self.taken -= {name for _, name, _ in published(self.spool)}
        super().invariants(at_rest)


class Hangmen(Mortals):
    """Owners of one universe: who is to be killed dies at the gate."""

    def __init__(self, universe: Universe) -> None:
        super().__init__(universe.root / "run")
        self._universe = universe

    def kill(self, owner: str) -> bool:
        """End an owner that hangs."""
        for actor in self._universe.gate.actors():
            if actor.owner == owner:
                actor.is_dead = True
        if self._universe.is_living(owner):
            self._universe.kill(owner)
        return True


class Worker(StandIn):
    """A consumer and its runner, whose handler writes through the model of the disk."""

    def run(self, job: Job) -> Outcome:
        """The handler writes, the runner completes `.part` to `.out`; nothing is committed."""
        spool = self.world.spool
        part, out = (spool.scratch_path(self.owner, job.id, job.attempt, suffix) for suffix in ("part", "out"))
        data = output_of(job, spool)
        spool._files.write(spool._fd, os.fsencode(part), data)
        if not spool.move(part, out):
            raise FileNotFoundError(f"{part} is gone: its consumer was declared dead")
        self.world.fuse.effect("slot ends")
        self._slot.end()
        now = self.world.clock.now()
        return Outcome(Kind.DONE, started_at=now, run_seconds=0.01, output_size=len(data), output_sha256=digest(data))

    def discard(self, job: Job) -> None:
        """What the consumer does with outputs whose sync failed."""
        for suffix in ("part", "out"):
            self.world.spool.remove_tree(self.world.spool.scratch_path(self.owner, job.id, job.attempt, suffix))
