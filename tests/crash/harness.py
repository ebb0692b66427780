"""Stops a process before its n-th effect, for n = 1, 2, 3 …, and drives what is left to its end.

Everything is real but death: the spool and the index lie in tmp_path, owners hold kernel locks, the verbs are
those of pqfs. Every change goes through two seams, `Files` and the engine's commit; both burn one `Fuse`,
which raises `Crash` before effect n and before every later one: a dead process does nothing any more, not even
in its `finally` blocks. `World.die` then closes the lock descriptors as the kernel would: the lock files stay,
free.

What is not seen here: loss of power (effects undone), torn writes, other file systems. See the table of layers
in field/reliability.md, section 10.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import apsw

from pqfs.durations import Size
from pqfs.files import Files
from pqfs.inbox import Inbox
from pqfs.index import Consumer as ConsumerRow
from pqfs.index import Engine, Index, walk
from pqfs.index.sqlite import SqliteEngine
from pqfs.ingester import Ingester
from pqfs.janitor import Janitor
from pqfs.jobqueue import JobQueue, Lease
from pqfs.model import FINAL, Job, Kind, Outcome, Place, State
from pqfs.owners import Life, OwnerLock, Owners
from pqfs.places import DIRECTORIES
from pqfs.recovery import Recovery, Repairs
from pqfs.settings import Settings
from pqfs.slot import Slot, read_slot
from pqfs.spool import Spool
from tests.world import SettableClock, invariants

BOOT = "this-boot"
NO_ROOM_NEEDED = Size(0)  # low water: tests run on whatever disk there is


class Crash(BaseException):
    """The process is gone. Not an Exception: no code of ours may catch it and go on."""


class Fuse:
    """Counts effects and burns before number `at`; burnt, it lets nothing through any more."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        self.at: int | None = None
        self.lie_at: int | None = None  # the rename with this number happens and says that it did not (NFS)
        self.unknown_at: int | None = None  # the commit with this number happens, its answer gets lost
        self.before: Callable[[str], None] | None = None  # what another process does just before an effect

    def effect(self, name: str) -> None:
        """One effect is about to happen."""
        if self.at is not None and len(self.trace) + 1 >= self.at:
            raise Crash(name)
        if self.before is not None:
            self.before(name)
        self.trace.append(name)

    def is_answer_lost(self) -> bool:
        """Whether nobody hears of the commit that has just happened."""
        if self.unknown_at is None:
            return False
        self.unknown_at -= 1
        if self.unknown_at:
            return False
        self.unknown_at = None
        return True

    def arm(self, at: int | None) -> None:
        """Start to count anew and burn before effect `at`."""
        self.trace, self.at, self.before = [], at, None


class CrashingFiles(Files):
    """The file operations of one world; syncs are counted, not made: nobody cuts the power here."""

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse

    def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        self._fuse.effect(f"R {_top(source)} {_top(target)}")
        super().rename(source_dir, source, target_dir, target)
        if self._fuse.lie_at == len(self._fuse.trace):
            raise FileNotFoundError(2, "No such file or directory, says the server")

    def unlink(self, directory: int, path: bytes) -> None:
        self._fuse.effect(f"U {_top(path)}")
        super().unlink(directory, path)

    def mkdir(self, directory: int, path: bytes, mode: int = 0o750) -> None:
        self._fuse.effect(f"M {_top(path)}")
        super().mkdir(directory, path, mode)

    def rmdir(self, directory: int, path: bytes) -> None:
        self._fuse.effect(f"X {_top(path)}")
        super().rmdir(directory, path)

    def write(self, directory: int, path: bytes, data: bytes, mode: int = 0o640) -> None:
        self._fuse.effect(f"W {_top(path)}")
        super().write(directory, path, data, mode)

    def replace(self, directory: int, source: bytes, target: bytes) -> None:
        self._fuse.effect(f"R {_top(source)} {_top(target)}")
        super().replace(directory, source, target)

    def fsync(self, directory: int, path: bytes) -> None:
        self._fuse.effect(f"F {_top(path)}")

    def syncfs(self, descriptor: int) -> None:
        self._fuse.effect("S")


def _top(path: bytes) -> str:
    """The directory of the spool that a path is in: enough to read a trace."""
    top = os.fsdecode(path.partition(b"/")[0])
    return top if b"/" in path or top in DIRECTORIES else "inbox"


class CrashingEngine(SqliteEngine):
    """Its commits are effects too, in the same sequence."""

    def __init__(self, path: Path, fuse: Fuse) -> None:
        self._fuse = fuse
        super().__init__(path, durable=False)

    def _commit(self) -> None:
        self._fuse.effect("C")
        super()._commit()
        if self._fuse.is_answer_lost():
            raise apsw.IOError("the commit happened, its answer got lost")


class Home(Protocol):
    """Where the indexes of worlds lie."""

    def connect(self, root: Path, fuse: Fuse) -> Engine:
        """Open the index of the world in this directory."""

    def lose(self, root: Path) -> None:
        """Somebody removes it while nobody has it open."""

    def photograph(self) -> Callable[[], None]:
        """Remember what lies outside of the spool, as it is just now: what is returned brings that back."""


class InSpool:
    """Each in a file of its spool: who copies the spool has copied it."""

    def connect(self, root: Path, fuse: Fuse) -> Engine:
        return CrashingEngine(root / "index.db", fuse)

    def lose(self, root: Path) -> None:
        for path in root.glob("index.db*"):
            path.unlink()

    def photograph(self) -> Callable[[], None]:
        return lambda: None


class Mortals(Owners):
    """Owners of this process: their locks are real, their pids are ours and must not be asked or signalled."""

    def end_leftovers(self, owner: str) -> int:
        return 0

    def life(self, owner: str) -> Life:
        """An owner of this world without a lock file has left or was reaped; of other names nothing is known."""
        if not (self._run / f"{owner}.lock").exists():
            return Life.DEAD if owner.count(".") == 2 else Life.UNKNOWN
        return super().life(owner)


class World:
    """One spool with its index and everybody who works on it."""

    def __init__(
        self, root: Path, settings: Settings, clock: SettableClock | None = None, boot: str = BOOT,
        home: Home | None = None,
    ) -> None:  # fmt: skip
        self.root = root
        self.home = home or InSpool()
        self.boot = boot
        self.settings = replace(settings, spool=root, low_water=NO_ROOM_NEEDED)
        self.clock = clock or SettableClock()
        self.boots = 1
        self.fuse = Fuse()
        self.sent: dict[bytes, bytes] = {}
        self.lost: set[str] = set()
        self.taken: set[str] = set()  # outputs that a reader has taken away
        self.deleted: set[bytes] = set()  # names whose jobs somebody wanted deleted
        self._locks: list[OwnerLock] = []
        self._slots: dict[str, Slot] = {}
        self._open()

    def _open(self) -> None:
        self.spool = Spool(self.root, CrashingFiles(self.fuse))
        self.index = Index(self.home.connect(self.root, self.fuse))
        self.jobqueue = JobQueue(self.spool, self.index, self.settings, chance=lambda: 0.5)
        self.owners = Mortals(self.root / "run")

    def close(self) -> None:
        """Everything this process holds."""
        self.fuse.arm(None)
        for lock in self._locks:
            os.close(lock._descriptor)
        self._locks = []
        self.index.close()
        self.spool.close()

    def die(self) -> None:
        """Every process of this world is killed at once; then others start on the same spool, on the same boot."""
        self.close()
        self._slots = {}
        self._open()
        self.clock.pass_by(0.5)

    def die_again(self) -> None:
        """After `close`: others start."""
        self._slots = {}
        self._open()

    def lose_index(self) -> None:
        """Somebody removes the index while nothing runs; then others start."""
        self.close()
        self.home.lose(self.root)
        self.die_again()

    def photograph(self) -> Picture:
        """What is on disk and in the index, to begin from it as often as is wanted. All are dead, and closed."""
        return Picture(self, self.home.photograph())

    # ---------------------------------------------------------------- actors

    def owner(self, program: str) -> str:
        """A living owner's name."""
        lock = OwnerLock(self.root / "run", program, self.boot, self.clock.now())
        self._locks.append(lock)
        return lock.name

    def keep(self, lock: OwnerLock) -> None:
        """The lock of an owner that has taken it himself: he dies with all others."""
        self._locks.append(lock)

    def leave(self, owner: str) -> None:
        """An owner ends as it should."""
        lock = next(each for each in self._locks if each.name == owner)
        self._locks.remove(lock)
        lock.release()

    def kill(self, owner: str) -> None:
        """An owner dies: the kernel lets its lock go, the file stays."""
        lock = next(each for each in self._locks if each.name == owner)
        self._locks.remove(lock)
        os.close(lock._descriptor)

    def ingester(self) -> Ingester:
        return Ingester(self.jobqueue, Inbox(self.root, self.settings), self.owner("ingester"), self.clock)

    def janitor(self) -> Janitor:
        return Janitor(self.jobqueue, self.recovery(), self.owners, self.clock, self.owner("janitor"), self.boot)

    def recovery(self) -> Recovery:
        return Recovery(self.jobqueue, self.owners, self.clock, self.boot)

    def consumer(self) -> StandIn:
        return StandIn(self)

    def drop(self, name: bytes, data: bytes | None = None, queue: str | None = None) -> bytes:
        """A producer delivers a file. The bytes are told by the name where none are given."""
        data = b"payload of " + name if data is None else data
        directory = self.root / "inbox" / queue if queue else self.root / "inbox"
        directory.mkdir(exist_ok=True)
        with open(os.path.join(os.fsencode(directory), name), "wb") as file:
            file.write(data)
        if not name.endswith(b".job.json"):
            self.sent[name] = data
        return name

    def drop_link(self, name: str, target: str) -> None:
        """A producer delivers a symbolic link."""
        os.symlink(target, self.root / "inbox" / name)

    def job(self, name: bytes) -> Job:
        """The one job of this name."""
        found = [job for job in walk(self.index) if job.name == name]
        assert len(found) == 1, f"{name!r} is {len(found)} jobs"
        return found[0]

    def jobs(self) -> dict[str, Job]:
        return {job.id: job for job in walk(self.index)}

    # ---------------------------------------------------------------- after a crash

    def in_slots(self) -> set[tuple[str, int]]:
        """The attempts that a dead consumer's slot names and that have no complete output: those are charged."""
        found = set()
        for path in (self.root / "run").glob("*.slot"):
            running = read_slot(path)
            if running is None or not self.may_charge(path.stem):
                continue
            if not (self.root / "work" / path.stem / f"{running.job}.{running.attempt}.out").exists():
                found.add((running.job, running.attempt))
        return found

    def may_charge(self, owner: str) -> bool:
        """Whether an owner's death may be the fault of what it ran."""
        return True

    def recover(self) -> Repairs:
        """What a janitor does at its start: reap the dead, reconcile."""
        recovery = self.recovery()
        repairs = Repairs()
        for owner in recovery.dead_owners():
            repairs += recovery.reap(owner)
        return repairs + recovery.reconcile()

    def settle_down(self) -> None:
        """What others than recovery do in its first seconds; nothing where no power was lost."""

    def invariants(self, at_rest: bool = True, astray: Iterable[str] = ()) -> None:
        known = {job.name for job in walk(self.index)}
        inside = {os.fsencode(path.name) for path in (self.root / "inbox").glob("*/*")}  # named after a queue, too
        left_out = (self.deleted | inside) - known
        sent = {name: data for name, data in self.sent.items() if name not in left_out} if at_rest else None
        invariants(self.spool, self.index, sent=sent, taken=self.taken, lost=self.lost.union(astray), at_rest=at_rest)

    def drain(self) -> None:
        """Living processes do what is left: everything in the inbox is taken, everything pending is completed."""
        ingester = self.ingester()
        while ingester.sweep().taken:
            pass
        consumer = self.consumer()
        for _ in range(200):
            if consumer.work():
                continue
            wake = self.index.next_wake()
            if wake is None:
                break
            self.clock.pass_by(max(0.0, wake - self.clock.now()) + 0.01)
        consumer.leave()


@dataclass(frozen=True, slots=True)
class Picture:
    """A world as it was when everybody was dead."""

    world: World
    _bring_back: Callable[[], None]

    def again(self, to: Path) -> World:
        """The same world once more."""
        was = self.world
        shutil.copytree(was.root, to, symlinks=True)
        self._bring_back()
        clock = SettableClock(was.clock.wall, was.clock.boot)
        other = World(to, was.settings, clock, home=was.home)
        other.sent, other.lost, other.deleted = dict(was.sent), set(was.lost), set(was.deleted)
        other.taken = set(was.taken)
        return other


class StandIn:
    """A consumer and its runner in one process, one effect after the other, as consumer.py and runner.py do it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.owner = world.owner("consumer")
        now, boot = world.clock.now(), world.clock.boottime()
        with world.index.transaction():
            row = ConsumerRow(self.owner, "consumer", os.getpid(), "here", world.boot, None, now, now, boot, 30.0, 0)
            world.index.register(row)
        world.spool.make_directory(f"work/{self.owner}")
        self._slot, descriptor = Slot.create(world.root / "run" / f"{self.owner}.slot")
        os.close(descriptor)

    def claim(self, limit: int = 10) -> list[Job]:
        jobqueue = self.world.jobqueue
        return jobqueue.claim(self.owner, None, limit, self.world.clock.now())

    def start(self, job: Job) -> bool:
        """The runner's first two steps."""
        if not self.world.spool.start(job):
            return False
        self.world.fuse.effect("the slot says that it runs")
        self._slot.begin(job.id, job.attempt, self.world.clock.boottime())
        return True

    def run(self, job: Job) -> Outcome:
        """The handler writes, the runner completes `.part` to `.out`; nothing is committed."""
        spool = self.world.spool
        part, out = (spool.scratch_path(self.owner, job.id, job.attempt, suffix) for suffix in ("part", "out"))
        self.world.fuse.effect("the handler writes")
        data = output_of(job, spool)
        spool.path(part).write_bytes(data)
        assert spool.move(part, out)
        self.world.fuse.effect("the slot says that it has ended")
        self._slot.end()
        now = self.world.clock.now()
        return Outcome(Kind.DONE, started_at=now, run_seconds=0.01, output_size=len(data), output_sha256=digest(data))

    def refuse(self, job: Job, kind: Kind) -> Outcome:
        """The handler says no."""
        self.world.fuse.effect("the slot says that it has ended")
        self._slot.end()
        return Outcome(kind, f"the handler said {kind}", started_at=self.world.clock.now(), run_seconds=0.01)

    def work(self, limit: int = 10) -> int:
        """Claim, run, finish and confirm one batch; how many."""
        ended = []
        for job in self.claim(limit):
            if self.start(job):
                ended.append((job, self.run(job)))
            else:
                kind = Kind.LOST if self.world.spool.find(job.id) else Kind.MISSING
                ended.append((job, Outcome(kind, "its payload is not where it was")))
        self.finish(ended)
        return len(ended)

    def finish(self, ended: Sequence[tuple[Job, Outcome]]) -> None:
        jobqueue = self.world.jobqueue
        jobqueue.confirm(jobqueue.finish(ended, self.world.clock.now()))

    def go_on(self, ended: Sequence[tuple[Job, Outcome]], moved: Sequence[Job], limit: int) -> list[Job]:
        """Finish a batch, confirm the one before and lease the next, in one commit; what was leased is started."""
        jobqueue = self.world.jobqueue
        leased: list[Job] = []
        more = Lease(self.owner, None, limit, leased.extend)
        jobqueue.finish(ended, self.world.clock.now(), moved, more)
        return [job for job in leased if self.start(job)]

    def leave(self) -> None:
        """End as it should."""
        with self.world.index.transaction():
            self.world.index.forget_consumer(self.owner)
        self.world.spool.leave_scratch(self.owner)
        (self.world.root / "run" / f"{self.owner}.slot").unlink()
        self.world.leave(self.owner)


def digest(data: bytes) -> str:
    """The hash that a completed row carries."""
    return hashlib.sha256(data).hexdigest()


def output_of(job: Job, spool: Spool) -> bytes:
    """What the handler makes of a job: told by the attempt, so that two outputs of one job never look alike."""
    payload = spool.path(spool.payload_path(job, Place.CLAIMED))
    return f"attempt {job.attempt} of ".encode() + payload.read_bytes()


def check_recovered(before: dict[str, Job], after: dict[str, Job], running: set[tuple[str, int]]) -> None:
    """What a recovery may change of a row, and what not: final stays final, and only what ran alone is charged."""
    for job_id, was in before.items():
        now = after.get(job_id)
        if now is None:
            assert was.state in FINAL and not was.confirmed, f"{job_id} was {was.state} and has no row any more"
            continue
        ran = was.state is State.PROCESSING and (was.id, was.attempt) in running and was.cancel_by is None
        assert now.crashes - was.crashes == int(ran), f"{job_id}: crashes {was.crashes} -> {now.crashes}, ran: {ran}"
        assert now.failures == was.failures, f"{job_id}: failures {was.failures} -> {now.failures}"
        assert 0 <= now.losses - was.losses <= int(was.state is State.PROCESSING and not ran)
        assert now.attempt == was.attempt, "recovery claims nothing"
        if was.state is not State.PROCESSING:
            assert now.state is was.state, f"{job_id} was {was.state} and came out {now.state}"
            assert now.output == was.output
        else:
            allowed = {State.CANCELLED} if was.cancel_by else {State.PENDING, State.UNPROCESSABLE, State.FAILED}
            assert now.state in allowed, f"{job_id} was processing and came out {now.state}"


@dataclass(frozen=True, slots=True)
class Scene:
    """What a crash left: the rows, and the attempts that ran."""

    jobs: dict[str, Job]
    running: set[tuple[str, int]]

    @classmethod
    def of(cls, world: World) -> Scene:
        return cls(world.jobs(), world.in_slots())


def after_crash(world: World, scene: Scene | None = None, mend: Callable[[World], None] | None = None) -> None:
    """The dead are dead: recover, recover again (nothing left to do), finish everything, and check it all.

    `scene` is what the first crash left, where a recovery was crashed since; `mend` is what a person does first.
    """
    scene = scene or Scene.of(world)
    if mend is not None:
        mend(world)
    world.recover()
    check_recovered(scene.jobs, world.jobs(), scene.running)
    world.settle_down()
    world.invariants()
    again = world.recover()
    assert again.is_empty, f"a second recovery found something to do: {again}"
    finish_all(world)


def finish_all(world: World) -> None:
    """Everything pending comes to its end, and the world is whole."""
    world.drain()
    world.invariants()
    open_ends = [job for job in world.jobs().values() if job.state not in FINAL and job.state is not State.HELD]
    assert not open_ends, f"not final: {open_ends}"
