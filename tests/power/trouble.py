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
from dataclasses import dataclass
from pathlib import Path

from pqfs import kernel
from pqfs.errors import Unavailable, VolumeFault
from pqfs.model import State
from tests.power.apart import ChildFailed, apart
from tests.power.disk import Disk, Faults
from tests.power.examination import Violation
from tests.power.filesystems import Roots, mounted_world
from tests.power.mounts import unmount_anyhow
from tests.power.mutants import Mutant, mutated
from tests.power.recording import Bench
from tests.power.scenes import ANN, MANY, SCENES, Deed
from tests.power.world import DiskWorld
from tests.world import EPOCH, SettableClock, violations

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


def try_fault(bench: Bench, scene: str, fault: Fault, mutant: Mutant | None = None) -> tuple[Deed, list[Violation]]:
    """Let the disk fail while a verb runs; how that ended, and everything that is wrong afterwards."""
    for image, extents in zip(bench.images, bench.blank, strict=True):
        image.fill(extents)
    _forget_alarms(bench)
    with mutated(mutant), ExitStack() as opened:
        disks = bench.disks(bench.folder / "log")
        for disk in disks:
            opened.callback(disk.close)
        faults = disks[fault.disk].faults
        deed, wrong = _first_boot(bench, disks, scene, fault, faults)
        _forget_alarms(bench)
        with mounted_world(bench.layout, [disk.device for disk in disks], bench.folder) as roots:
            wrong += _told(lambda: _look(roots, deed, "the-next-boot"), "after a reboot")[0]
    return deed, wrong


def _forget_alarms(bench: Bench) -> None:
    """They lie in memory: a reboot takes them away."""
    for alarm in bench.folder.glob("*.alarm"):
        alarm.unlink()


def _first_boot(
    bench: Bench, disks: list[Disk], scene: str, fault: Fault, faults: Faults
) -> tuple[Deed, list[Violation]]:
    """The verb, then others on the same mount, where the file system still lets them."""
    try:
        with mounted_world(bench.layout, [disk.device for disk in disks], bench.folder) as roots:
            deed = _done(bench, lambda: _act(roots, scene, fault, faults))
            deed.failed = faults.mend()
            can_write = all(apart(lambda place=place: _can_write(place)) for place in _places(roots))  # type: ignore[misc]
            if not can_write:
                return deed, []
            wrong, jobs = _told(lambda: _look(roots, deed, "a-boot"), "in the same boot")
            deed.promised |= {name: data for name, data in deed.new.items() if name in jobs}
            return deed, wrong
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
    for number in range(2 * MANY):
        name = f"old{number}.txt".encode()
        deed.promised[name] = world.sent[world.drop(name)]
    world.ingester().sweep()
    act = SCENES[scene](world, deed)
    if not deed.new:
        os.sync()
    (roots.spool.parent.parent / _BEGUN).write_bytes(pickle.dumps(deed))
    faults.fail(fault.error, fault.writes, fault.flushes, fault.passes)
    if fault.stranger:
        _sync_as_a_stranger(roots.spool)
    try:
        act()
    except Exception as error:  # noqa: BLE001 -- how it ends is the question
        deed.error = f"{type(error).__name__}: {error}"
    else:
        deed.promised |= deed.new
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

Look = tuple[list[Violation], set[bytes]]  # what is wrong, and the names of all jobs


def _told(look: Callable[[], Look], when: str) -> Look:
    try:
        found, jobs = apart(look)
    except ChildFailed as error:
        found, jobs = [Violation("broken", str(error))], set()
    return [Violation(each.kind, f"{when}: {each.text}") for each in found], jobs


def _look(roots: Roots, deed: Deed, boot: str) -> Look:
    """Others recover and go on to the end; everything that is wrong then, and what are jobs now.

    What no producer had synced and no verb had promised was whole as long as the kernel knew it; what the disk has
    of it after a reboot, in the inbox or on its way out of there, was its producer's to lose.
    """
    world = _opened(roots, boot)
    _go_on(world)
    due = deed.promised | deed.new if boot == "a-boot" else deed.promised
    return list(_wrong(world, deed, due)), {job.name for job in world.jobs().values()}


def _opened(roots: Roots, boot: str) -> DiskWorld:
    """Who opens the index first in the same boot may be told of the old error, and ends; then another comes.

    The first one moves the log into the database, as `Opening` does.
    """
    clock = SettableClock(EPOCH + (60.0 if boot == "a-boot" else 120.0), 1060.0)
    try:
        world = DiskWorld(roots, clock, boot, alarms=roots.spool.parent.parent)
    except Unavailable:
        if boot != "a-boot":
            raise
        world = DiskWorld(roots, clock, boot, alarms=roots.spool.parent.parent)
    world.index.engine.checkpoint()
    return world


def _go_on(world: DiskWorld) -> None:
    """Recover and drain. Whoever opened the volume since may be told of the old error once more, and then ends."""
    for _ in range(MANY):
        try:
            world.recover()
            world.drain()
            world.recover()
        except VolumeFault:
            world.die()
        else:
            return


def _wrong(world: DiskWorld, deed: Deed, due: dict[bytes, bytes]) -> Iterator[Violation]:
    yield from (Violation("broken", text) for text in violations(world.spool, world.index))
    yield from (Violation("stuck", f"nobody ends {job}") for job in world.waiting())
    jobs = {job.name: job for job in world.jobs().values()}
    for name, data in due.items():
        job = jobs.get(name)
        if job is None and name in deed.promised:
            yield Violation("lost", f"{name!r} is no job")
        elif job is not None and not any(
            world.spool.path(path).read_bytes() == data for path in world.spool.find(job.id)
        ):
            yield Violation("torn", f"{name!r} ({job.state}) has not the bytes that were delivered")
    charged = [job for job in jobs.values() if job.failures or job.crashes]
    yield from (Violation("charged", f"{job.name!r} was charged for the disk: {job.error}") for job in charged)
    mourned = [job for job in jobs.values() if job.state is State.FAILED and job.error != f"marked failed by {ANN}"]
    yield from (Violation("lost", f"{job.name!r}: {job.error}") for job in mourned)
