"""A flood into the inbox: more files than the kernel's event queue holds, while a real ingester works.

    python -m tests.bench.burst --files 200000

The ingester is stopped until its event queue has overflowed, then goes on while the rest pours in by renames. At
the end no file is missing, and each is exactly one job. The same flood then comes over a plain loop that asks every
file the same questions, renames it, and makes a batch durable by one sync and one transaction: how fast both were,
timed from the moment at which they go on, and how much the ingester grew.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pqfs.index import walk
from tests.bench import arena
from tests.bench.arena import Room, running
from tests.bench.figures import Target, ratio
from tests.bench.sightings import Sightings
from tests.process.stage import Stage, eventually
from tests.scoreboard import Score, add_arguments, report
from tests.world import violations

_LIMIT = Path("/proc/sys/fs/inotify/max_queued_events")
_SPARE = 2000  # files beyond what the queue holds
_STALL = 120.0  # seconds without any progress: then it has failed
_SHARE, _GROWTH = 0.8, 50.0  # the targets: our rate in the plain loop's, at least; MiB, at most
_PLAIN_LOOP = (sys.executable, "-m", "tests.bench.peers.plain_ingest")


@dataclass(frozen=True, slots=True)
class Burst:
    """What one flood came to."""

    files: int
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    violations: tuple[str, ...]
    overflowed: bool
    seconds: float  # from the moment at which it goes on to the last job
    grown: int  # bytes of resident memory

    def wrong(self) -> Iterator[str]:
        """Everything that must not be."""
        if not self.overflowed:
            yield "the event queue did not overflow, so nothing was shown"
        yield from (f"{name} is missing" for name in self.missing)
        yield from (f"{name} is more than one job" for name in self.doubled)
        yield from self.violations


@dataclass(frozen=True, slots=True)
class Flood:
    """When it went on (monotonic seconds), and whether the event queue of who stood still overflowed before."""

    went_on: float
    overflowed: bool


def flood(pid: int, inbox: Path, files: int) -> Flood:
    """Let files flood an inbox while a process stands still, then while it works.

    That its queue overflows is told by a witness, a watch beside its own that nobody reads: what goes on may drop its
    watch before it has read as far.
    """
    first = min(files, int(_LIMIT.read_text()) + _SPARE)
    os.kill(pid, signal.SIGSTOP)
    with Sightings(inbox) as witness:
        pour(inbox, 0, first)
        overflowed = _watches(pid) and _has_overflowed(witness)
    went_on = time.monotonic()
    os.kill(pid, signal.SIGCONT)
    pour(inbox, first, files)
    return Flood(went_on, overflowed)


def _has_overflowed(witness: Sightings) -> bool:
    try:
        while witness.wait(0.0):
            pass
    except OverflowError:
        return True
    return False


def pour(inbox: Path, first: int, last: int) -> None:
    """Deliver files first to last by renames, as careful producers do."""
    staging = inbox.parent.parent / "staging"
    staging.mkdir(exist_ok=True)
    for number in range(first, last):
        path = f"{staging}/{number:07}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, b"%d" % number)
        os.close(descriptor)
        os.rename(path, f"{inbox}/{number:07}")


def burst(root: Path, files: int) -> Burst:
    """Let `files` files flood the inbox of a spool below `root`."""
    stage = Stage(root, "")
    try:
        ingester = stage.start("ingest")
        eventually(lambda: _watches(ingester.pid), "the ingester watches the inbox")
        before = _memory(ingester.pid, "VmRSS")
        flooded = flood(ingester.pid, stage.spool / "inbox", files)
        _wait_for(stage, files)
        seconds, peak = time.monotonic() - flooded.went_on, _memory(ingester.pid, "VmHWM")
        stage.stop(ingester)
        return _judge(stage, files, flooded.overflowed, seconds, peak - before)
    finally:
        stage.abandon()


def plain_loop(root: Path, files: int) -> float:
    """The seconds that a plain loop needs for the same flood."""
    base = root / "loop"
    (base / "inbox").mkdir(parents=True)
    with running(_PLAIN_LOOP, base, BENCH_FILES=str(files)) as process:
        eventually((base / "is ready").exists, "the plain loop is ready")
        flooded = flood(process.pid, base / "inbox", files)
        assert process.wait() == 0, arena.log_of(base).read_text()
        return time.monotonic() - flooded.went_on


def _watches(pid: int) -> bool:
    """Whether a process watches a directory. Race: it closes a descriptor between the listing and the look."""
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            if "inotify wd" in path.read_text():
                return True
        except FileNotFoundError:
            continue
    return False


def _wait_for(stage: Stage, files: int) -> None:
    """Until all are jobs, or nothing moves any more."""
    count, since = -1, time.monotonic()
    while count < files and time.monotonic() - since < _STALL:
        found = sum(number for _, _, number in stage.index.counts())
        if found > count:
            count, since = found, time.monotonic()
        time.sleep(0.2)


def _memory(pid: int, what: str) -> int:
    """Bytes: VmRSS now, VmHWM at most."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _judge(stage: Stage, files: int, overflowed: bool, seconds: float, grown: int) -> Burst:
    names = Counter(os.fsdecode(job.name) for job in walk(stage.index))
    missing = tuple(name for name in (f"{number:07}" for number in range(files)) if name not in names)
    doubled = tuple(name for name, count in names.items() if count > 1)
    with stage.app() as app:
        broken = tuple(violations(app.spool, app.index))
    return Burst(files, missing, doubled, broken, overflowed, seconds, grown)


@contextmanager
def place(root: Path | None, files: int) -> Iterator[Path]:
    """An empty directory: on the file system that is to be tried, or on ground of its own."""
    if root is None:
        with arena.ground(None, Room(files, 0)) as base:
            yield base
        return
    scratch = Path(tempfile.mkdtemp(prefix="pqfs-burst-", dir=root)).absolute()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch)


def details(found: Burst, loop: float) -> dict[str, int | float | str]:
    """The figures, and what was promised of them."""
    share = Target("ratio", ratio(loop, found.seconds), _SHARE, at_least=True)
    growth = Target("growth", found.grown / 2**20, _GROWTH)
    return {
        "files a second": round(found.files / found.seconds),
        "the plain loop's": round(found.files / loop),
        "ratio": round(share.value, 3),
        "MiB that the ingester grew": round(growth.value, 1),
        "missing": len(found.missing),
        "targets": "; ".join(f"{each.claim} {each.verdict}" for each in (share, growth)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="A flood into the inbox of a real ingester.")
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--root", type=Path, help="a directory on the file system to be tried")
    add_arguments(parser)
    arguments = parser.parse_args()
    arena.interruptible()
    with place(arguments.root, arguments.files) as root:
        found = burst(root, arguments.files)
    with place(arguments.root, arguments.files) as root:
        loop = plain_loop(root, arguments.files)
    command = f"python -m tests.bench.burst --files {arguments.files}"
    wrong, told = tuple(found.wrong()), details(found, loop)
    return report(Score("burst", found.files, "files", wrong, found.seconds, command, details=told), arguments)


if __name__ == "__main__":
    sys.exit(main())
