"""Runs a workload on remembering disks: every write and flush, and what was promised when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.power.apart import apart
from tests.power.disk import Disk, Record, read_log
from tests.power.filesystems import Image, Layout, Roots, mounted_world
from tests.power.ledger import Ledger
from tests.power.mutants import Mutant, mutated
from tests.power.workload import NotingFiles, Workload
from tests.power.world import DiskWorld
from tests.world import SettableClock

Extents = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Recording:
    """One run: what the disks held before it, every write and flush since, and the promises."""

    layout: Layout
    seed: int
    blank: list[Extents]
    records: list[Record]
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Bench:
    """What a recorder works with: the disk's program, a folder in memory, and fresh file systems in images."""

    program: Path
    folder: Path
    layout: Layout
    images: list[Image]
    blank: list[Extents]

    def disks(self, log: Path) -> list[Disk]:
        """A remembering disk over each image; the log is shared and begins empty."""
        log.unlink(missing_ok=True)
        return [Disk(self.program, image.path, log, n, self.folder) for n, image in enumerate(self.images)]


@contextmanager
def bench(program: Path, folder: Path, layout: Layout) -> Iterator[Bench]:
    """A bench for one layout; the file systems are made once, and are empty."""
    images = []
    with ExitStack() as opened:
        for number, kind in enumerate(layout.disks):
            image = Image(folder / f"recorded{number}", kind.size)
            opened.callback(image.close)
            image.format(kind)
            images.append(image)
        yield Bench(program, folder, layout, images, [image.extents() for image in images])


def make_spools(bench: Bench) -> Bench:
    """The same bench with an empty spool and an empty index already on its disks."""
    with ExitStack() as loops:
        devices = []
        for image in bench.images:
            loop = image.loop()
            loops.callback(loop.close)
            devices.append(loop.path)
        with mounted_world(bench.layout, devices, bench.folder) as roots:
            apart(lambda: DiskWorld(roots, SettableClock(), "a-boot").close())
    return Bench(bench.program, bench.folder, bench.layout, bench.images, [each.extents() for each in bench.images])


@dataclass(frozen=True, slots=True)
class Trial:
    """What is recorded: so many acts of a random workload, under a durability, with or without a mutant."""

    seed: int
    acts: int
    durable: bool = True
    mutant: Mutant | None = None


def record(bench: Bench, trial: Trial) -> Recording:
    """Run a workload on the bench's disks, in a child that just ends, its consumers with jobs in hand."""
    log = bench.folder / "log"
    for image, extents in zip(bench.images, bench.blank, strict=True):
        image.fill(extents)
    with ExitStack() as opened:
        disks = bench.disks(log)
        for disk in disks:
            opened.callback(disk.close)
        with mounted_world(bench.layout, [disk.device for disk in disks], bench.folder) as roots:
            ledger, end = apart(lambda: _work(roots, trial, log))
    records = [each for each in read_log(log) if each.end <= end]  # an unmount is not what is tried here
    return Recording(bench.layout, trial.seed, bench.blank, records, ledger)


def _work(roots: Roots, trial: Trial, log: Path) -> tuple[Ledger, int]:
    ledger = Ledger()
    files = NotingFiles(ledger, lambda: os.stat(log).st_size)
    with mutated(trial.mutant):
        world = DiskWorld(roots, SettableClock(), "a-boot", files, trial.durable, roots.spool.parent.parent)
        Workload(world, ledger, files.position, trial.seed).run(trial.acts)
    return ledger, files.position()
