"""A flood into the inbox: more files than the kernel's event queue holds, while a real ingester works.

    python -m tests.bench.burst --files 200000

The ingester is stopped until its event queue has overflowed, then goes on while the rest pours in by renames. At
the end no file is missing, and each is exactly one job. Prints how fast it took them and how much memory it needed.
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
from dataclasses import dataclass
from pathlib import Path

from pqfs.index import walk
from tests.process.stage import Stage, eventually
from tests.scoreboard import Score, add_arguments, report
from tests.world import violations

_LIMIT = Path("/proc/sys/fs/inotify/max_queued_events")
_SPARE = 2000  # files beyond what the queue holds
_STALL = 120.0  # seconds without any progress: then it has failed


@dataclass(frozen=True, slots=True)
class Burst:
    """What one flood came to."""

    files: int
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    violations: tuple[str, ...]
    overflowed: bool
    seconds: float
    peak_bytes: int

    def wrong(self) -> Iterator[str]:
        """Everything that must not be."""
        if not self.overflowed:
            yield "the event queue did not overflow, so nothing was shown"
        yield from (f"{name} is missing" for name in self.missing)
        yield from (f"{name} is more than one job" for name in self.doubled)
        yield from self.violations


def pour(stage: Stage, first: int, last: int) -> None:
    """Deliver files first to last by renames, as careful producers do."""
    staging = stage.root / "staging"
    staging.mkdir(exist_ok=True)
    for number in range(first, last):
        path = f"{staging}/{number:07}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, b"%d" % number)
        os.close(descriptor)
        os.rename(path, f"{stage.spool}/inbox/{number:07}")


def burst(root: Path, files: int) -> Burst:
    """Let `files` files flood the inbox of a spool below `root`."""
    stage = Stage(root, "")
    began = time.monotonic()
    try:
        ingester = stage.start("ingest")
        eventually(lambda: _watches(ingester.pid), "the ingester watches the inbox")
        began = time.monotonic()
        first = min(files, int(_LIMIT.read_text()) + _SPARE)
        ingester.send_signal(signal.SIGSTOP)
        pour(stage, 0, first)
        ingester.send_signal(signal.SIGCONT)
        pour(stage, first, files)
        _wait_for(stage, files)
        seconds, peak = time.monotonic() - began, _peak(ingester.pid)
        stage.stop(ingester)
        return _judge(stage, files, seconds, peak)
    finally:
        stage.abandon()


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


def _peak(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _judge(stage: Stage, files: int, seconds: float, peak: int) -> Burst:
    names = Counter(os.fsdecode(job.name) for job in walk(stage.index))
    missing = tuple(name for name in (f"{number:07}" for number in range(files)) if name not in names)
    doubled = tuple(name for name, count in names.items() if count > 1)
    with stage.app() as app:
        broken = tuple(violations(app.spool, app.index))
    return Burst(files, missing, doubled, broken, "overflow" in stage.log("ingest"), seconds, peak)


def main() -> int:
    parser = argparse.ArgumentParser(description="A flood into the inbox of a real ingester.")
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--root", type=Path, help="a directory on the file system to be tried")
    add_arguments(parser)
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="pqfs-burst-", dir=arguments.root))
    try:
        found = burst(root, arguments.files)
    finally:
        shutil.rmtree(root)
    details = {
        "files a second": round(found.files / found.seconds),
        "peak MiB of the ingester": round(found.peak_bytes / 2**20),
        "missing": len(found.missing),
    }
    command = f"python -m tests.bench.burst --files {arguments.files}"
    wrong = tuple(found.wrong())
    return report(Score("burst", found.files, "files", wrong, found.seconds, command, details=details), arguments)


if __name__ == "__main__":
    sys.exit(main())
