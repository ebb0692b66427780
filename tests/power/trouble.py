"""Real I/O errors: the disk below a file system refuses writes or flushes, and the kernel drops what it had of them.

One verb runs while the disk fails. It either returns, and then what it promised is there after a reboot; or it
raises, and then nothing is torn, and what was there before still is. Nobody's budget is touched. First others go on
in the same boot, with whatever the kernel still believes; then the disk is mounted anew, and tells what it has.
"""

from __future__ import annotations

import errno
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pqfs import kernel
from pqfs.errors import VolumeFault
from pqfs.model import State
from tests.crash.harness import StandIn
from tests.power.apart import ChildFailed, apart
from tests.power.disk import Disk, Faults
from tests.power.examination import Violation
from tests.power.filesystems import Roots, mounted_world
from tests.power.mounts import unmount_anyhow
from tests.power.recording import Bench
from tests.power.world import DiskWorld
from tests.world import EPOCH, SettableClock, submitted, violations

_MANY = 5
_ANN = "ann"
_BEGUN = "deed"


@dataclass(frozen=True, slots=True)
class Fault:
    """What the disk does while a verb runs: lets so many pass, then fails so many writes and flushes (-1: all)."""

    disk: int = 0
    error: int = errno.EIO
    passes: int = 0
    writes: int = 0
    flushes: int = 0
    stranger: bool = False  # somebody else syncs first, and is told of the error instead of us

    def __str__(self) -> str:
        what = f"{self.writes} writes" if self.writes else f"{self.flushes} flushes"
        told = ", a stranger told first" if self.stranger else ""
        return f"disk {self.disk}: {what} {errno.errorcode[self.error]} after {self.passes}{told}".replace(
            "-1", "all"
        )


@dataclass(slots=True)
class Deed:
    """What was there before the disk failed, what the verb was about, and how it ended."""

    before: dict[bytes, bytes] = field(default_factory=dict)
    after: dict[bytes, bytes] = field(default_factory=dict)
    error: str | None = None
    failed: int = 0  # writes and flushes
    alarmed: bool = False


Act = Callable[[], object]
Scene = Callable[[DiskWorld, Deed], Act]


# -------------------------------------------------------------------- scenes: what is prepared, and the verb


def _dropped(world: DiskWorld, deed: Deed, count: int) -> None:
    for number in range(count):
        name = f"new{number}.txt".encode()
        deed.after[name] = b"new %d\n" % number * 900
        world.drop(name, deed.after[name])


def ingest(count: int) -> Scene:
    """Files that nobody has synced are taken."""

    def scene(world: DiskWorld, deed: Deed) -> Act:
        ingester = world.ingester()
        _dropped(world, deed, count)
        return ingester.sweep

    return scene


def submit(world: DiskWorld, deed: Deed) -> Act:
    """A copy is submitted, with a priority of its own."""
    deed.after[b"submitted.txt"] = b"submitted\n" * 900
    owner = world.owner("submit")
    data = deed.after[b"submitted.txt"]
    return lambda: submitted(world.jobqueue, world.clock.now(), b"submitted.txt", data, owner, priority=5)


def finish(count: int) -> Scene:
    """Attempts that have ended are finished."""

    def scene(world: DiskWorld, deed: Deed) -> Act:
        consumer = StandIn(world)
        ended = []
        for job in consumer.claim(count):
            assert consumer.start(job)
            ended.append((job, consumer.run(job)))
        return lambda: consumer.finish(ended)

    return scene


def claim(world: DiskWorld, deed: Deed) -> Act:
    """A consumer leases jobs: one commit."""
    consumer = StandIn(world)
    return lambda: consumer.claim(3)


def hold(world: DiskWorld, deed: Deed) -> Act:
    """A person puts a job aside: a meta file, then a commit."""
    job = world.job(b"old1.txt")
    return lambda: world.jobqueue.hold(job, _ANN, None, world.clock.now())


def redrive(world: DiskWorld, deed: Deed) -> Act:
    """A dead letter is made to wait again."""
    job = world.jobqueue.fail(world.job(b"old1.txt"), _ANN, None, world.clock.now())
    return lambda: world.jobqueue.redrive(job, _ANN, None, world.clock.now())


SCENES: dict[str, Scene] = {
    "ingest-one": ingest(1), "ingest-many": ingest(_MANY), "submit": submit, "finish-one": finish(1),
    "finish-many": finish(_MANY), "claim": claim, "hold": hold, "redrive": redrive,
}  # fmt: skip


# -------------------------------------------------------------------- three lives of one disk


def try_fault(bench: Bench, scene: str, fault: Fault) -> tuple[Deed, list[Violation]]:
    """Let the disk fail while a verb runs; how that ended, and everything that is wrong afterwards."""
    for image, extents in zip(bench.images, bench.blank, strict=True):
        image.fill(extents)
    for alarm in bench.folder.glob("*.alarm"):
        alarm.unlink()
    with ExitStack() as opened:
        disks = bench.disks(bench.folder / "log")
        for disk in disks:
            opened.callback(disk.close)
        faults = disks[fault.disk].faults
        deed, wrong = _first_boot(bench, disks, scene, fault, faults)
        faults.mend()
        with mounted_world(bench.layout, [disk.device for disk in disks], bench.folder) as roots:
            wrong += _told(lambda: _look(roots, deed, "the-next-boot"), "after a reboot")
    return deed, wrong


def _first_boot(
    bench: Bench, disks: list[Disk], scene: str, fault: Fault, faults: Faults
) -> tuple[Deed, list[Violation]]:
    """The verb, then others on the same mount, where the file system still lets them."""
    try:
        with mounted_world(bench.layout, [disk.device for disk in disks], bench.folder) as roots:
            deed = _done(bench, lambda: _act(roots, scene, fault, faults))
            deed.failed = faults.mend()
            can_write = all(apart(lambda place=place: _can_write(place)) for place in _places(roots))  # type: ignore[misc]
            return deed, _told(lambda: _look(roots, deed, "a-boot"), "in the same boot") if can_write else []
    finally:
        for number in range(len(disks)):
            unmount_anyhow(bench.folder / f"mount{number}")


def _done(bench: Bench, act: Callable[[], Deed]) -> Deed:
    """The deed of a process that the disk may kill: SQLite maps its -shm, and a page of it may be refused."""
    try:
        return apart(act)
    except ChildFailed as error:
        begun: Deed = pickle.loads((bench.folder / _BEGUN).read_bytes())
        begun.error = str(error)
        return begun


def _places(roots: Roots) -> list[Path]:
    return [roots.spool, roots.index.parent]


def _act(roots: Roots, scene: str, fault: Fault, faults: Faults) -> Deed:
    """A process that has its descriptors from before the disk failed."""
    deed = Deed()
    world = DiskWorld(roots, SettableClock(), "a-boot", alarms=roots.spool.parent.parent)
    for number in range(2 * _MANY):
        name = f"old{number}.txt".encode()
        deed.before[name] = world.sent[world.drop(name)]
    world.ingester().sweep()
    act = SCENES[scene](world, deed)
    if not deed.after:
        os.sync()
    (roots.spool.parent.parent / _BEGUN).write_bytes(pickle.dumps(deed))
    faults.fail(fault.error, fault.writes, fault.flushes, fault.passes)
    if fault.stranger:
        _sync_as_a_stranger(roots.spool)
    try:
        act()
    except Exception as error:  # noqa: BLE001 -- how it ends is the question
        deed.error = f"{type(error).__name__}: {error}"
    deed.alarmed = world.spool.alarm.exists()
    return deed


def _sync_as_a_stranger(path: Path) -> None:
    """Another process syncs the volume through a descriptor of its own, and the error is told to it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        kernel.syncfs(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _can_write(place: Path) -> bool:
    """Whether the file system still takes writes, or has given up until it is mounted anew."""
    try:
        probe = place / "run" / "probe" if (place / "run").is_dir() else place / "probe"
        probe.write_bytes(b"probe")
        descriptor = os.open(probe, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        probe.unlink()
    except OSError:
        return False
    return True


# -------------------------------------------------------------------- what must hold


def _told(look: Callable[[], list[Violation]], when: str) -> list[Violation]:
    try:
        found = apart(look)
    except ChildFailed as error:
        found = [Violation("broken", str(error))]
    return [Violation(each.kind, f"{when}: {each.text}") for each in found]


def _look(roots: Roots, deed: Deed, boot: str) -> list[Violation]:
    """Others recover and go on to the end; everything that is wrong then."""
    clock = SettableClock(EPOCH + (60.0 if boot == "a-boot" else 120.0), 1060.0)
    world = DiskWorld(roots, clock, boot, alarms=roots.spool.parent.parent)
    _go_on(world)
    return list(_wrong(world, deed))


def _go_on(world: DiskWorld) -> None:
    """Recover and drain. Whoever opened the volume since may be told of the old error once more, and then ends."""
    for _ in range(_MANY):
        try:
            world.recover()
            world.drain()
            world.recover()
        except VolumeFault:
            world.die()
        else:
            return


def _wrong(world: DiskWorld, deed: Deed) -> Iterator[Violation]:
    yield from (Violation("broken", text) for text in violations(world.spool, world.index))
    yield from (Violation("stuck", f"nobody ends {job}") for job in world.waiting())
    promised = deed.before if deed.error else deed.before | deed.after
    jobs = {job.name: job for job in world.jobs().values()}
    for name, data in promised.items():
        job = jobs.get(name)
        if job is None:
            yield Violation("lost", f"{name!r} is no job")
        elif not any(world.spool.path(path).read_bytes() == data for path in world.spool.find(job.id)):
            yield Violation("torn", f"{name!r} ({job.state}) has not the bytes that were delivered")
    charged = [job for job in jobs.values() if job.failures or job.crashes]
    yield from (Violation("charged", f"{job.name!r} was charged for the disk: {job.error}") for job in charged)
    mourned = [job for job in jobs.values() if job.state is State.FAILED and job.error != f"marked failed by {_ANN}"]
    yield from (Violation("lost", f"{job.name!r}: {job.error}") for job in mourned)
