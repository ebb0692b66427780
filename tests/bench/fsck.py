"""How long `fsck` and a rebuild take on a spool of N jobs, and how much memory. A program.

    python -m tests.bench.fsck [--jobs 1000000] [--at DIRECTORY] [--keep] [--all-kept] [--only make|fsck|rebuild]

Makes the spool first: empty payloads, rows by direct SQL, every state. Of a hundred jobs 40 are completed with their
input kept (10 of them with an output that nobody took), 30 completed with it gone, 15 pending, 5 held, 5 failed and 5
cancelled; with `--all-kept` the 30 are kept as well, so that each job has a payload for a rebuild. The command line
is measured, not the function: `pqfs fsck`, then `pqfs index rebuild` with the index put away.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pqfs.index import Index, _job_row
from pqfs.index.sqlite import SqliteEngine
from pqfs.kernel import file_system
from pqfs.model import Job, Place, State
from pqfs.naming import JobIds, output_name
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool
from pqfs.wiring import open_app
from tests.bench import arena, figures
from tests.bench.figures import Figures, Value

_BEGAN = 1_780_000_000.0
_CHUNK = 10_000
_ARRIVER = "ingester.1.0123abcd"
_SHARES = (
    (40, State.COMPLETED, Place.DONE),
    (70, State.COMPLETED, Place.GONE),
    (85, State.PENDING, Place.READY),
    (90, State.HELD, Place.READY),
    (95, State.FAILED, Place.DEAD),
    (100, State.CANCELLED, Place.CANCELLED),
)


def jobs(count: int, all_kept: bool) -> Iterator[Job]:
    """The rows, in order of id; each hundred the same mix."""
    ids = JobIds()
    for number in range(count):
        now = _BEGAN + number * 0.5
        state, place = next((state, place) for limit, state, place in _SHARES if number % 100 < limit)
        if all_kept and place is Place.GONE:
            place = Place.DONE
        job, name = ids.next(now), f"file{number:07d}.txt".encode()
        yield Job(
            id=job, queue="default", name=name, arriver=_ARRIVER, state=state, place=place, confirmed=True,
            priority=0, attempt=int(state is not State.PENDING), failures=0, crashes=0, losses=0, owner=None, size=0,
            created_at=now, ready_at=now, updated_at=now + 1.0,
            output=output_name(now + 1.0, job, name) if state is State.COMPLETED else None,
        )  # fmt: skip


def make(root: Path, count: int, all_kept: bool) -> None:
    """A spool with these jobs, at rest."""
    Spool.create(root)
    settings = Settings(spool=root, logs=root.parent / "logs")
    open_app(Loaded(settings, {}, None)).close()
    spool, index = Spool(root), Index(SqliteEngine(root / "index.db", durable=False))
    below = os.open(root, os.O_RDONLY)
    left = jobs(count, all_kept)
    while chunk := list(islice(left, _CHUNK)):
        with index.transaction():
            index.engine.run_many("restore_job", map(_job_row, chunk))
        for number, job in enumerate(chunk):
            _touch(spool, below, job, with_output=number % 100 < 10)
    index.close()
    spool.close()
    os.close(below)


def _touch(spool: Spool, below: int, job: Job, with_output: bool) -> None:
    paths = [spool.payload_path(job)] if job.place is not Place.GONE else []
    if with_output and job.output:
        paths.append(spool.output_path(job.queue, job.output))
    if job.state is State.HELD:
        paths.append(f"meta/{job.id}.json")
    for path in paths:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=below))
        except FileNotFoundError:
            spool.make_directory(os.path.dirname(path))
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=below))
    if job.state is State.HELD:
        spool.path(paths[-1]).write_text('{"schema": "pqfs.meta/1", "held": true}')


def measure(root: Path, *command: str) -> dict[str, Value]:
    """Run one command of pqfs on a spool: seconds, the most memory that it had, its exit code, what it said."""
    line = [sys.executable, "-m", "pqfs", "--spool", str(root), "--logs", str(root.parent / "logs"), *command]
    began = time.perf_counter()
    done = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.stdout
    said = done.stdout.read()
    _, status, used = os.wait4(done.pid, 0)
    return {
        "command": " ".join(command), "seconds": round(time.perf_counter() - began, 1),
        "CPU seconds": round(used.ru_utime + used.ru_stime, 1), "MiB": used.ru_maxrss // 1024,
        "exit code": os.waitstatus_to_exitcode(status), "said": (said.strip().splitlines() or [""])[-1][:80],
    }  # fmt: skip


def measure_all(root: Path, only: str | None) -> Iterator[dict[str, Value]]:
    """`fsck`, a rebuild with the index put away, and `fsck` of what that has made."""
    if only in (None, "fsck"):
        yield measure(root, "fsck")
    if only in (None, "rebuild"):
        for path in root.glob("index.db*"):
            path.rename(root.parent / f"kept-{path.name}")
        yield measure(root, "index", "rebuild", "-y")
        yield measure(root, "fsck")


def run(root: Path, options: argparse.Namespace) -> list[dict[str, Value]]:
    """Make the spool where there is none, and measure."""
    if not root.exists():
        began = time.perf_counter()
        make(root, options.jobs, options.all_kept)
        print(f"{options.jobs:,} jobs made in {time.perf_counter() - began:.0f} s at {root}", file=sys.stderr)
    return list(measure_all(root, options.only))


def clear(top: Path) -> None:
    """Remove what was made below a directory, and nothing else that lies there."""
    for name in ("spool", "logs"):
        shutil.rmtree(top / name, ignore_errors=True)
    for path in top.glob("kept-index.db*"):
        path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--at", type=Path, help="where the spool is made, or lies already")
    parser.add_argument("--keep", action="store_true", help="leave the spool there")
    parser.add_argument("--all-kept", action="store_true", help="every job has a payload")
    parser.add_argument("--only", choices=("make", "fsck", "rebuild"))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    arena.interruptible()
    top = options.at or Path(tempfile.mkdtemp(prefix="pqfs-bench-"))
    is_ours = not options.keep and not (top / "spool").exists()
    try:
        rows, kind = run(top / "spool", options), file_system(bytes(top))
    finally:
        if is_ours:
            clear(top)
            if options.at is None:
                top.rmdir()
    figures.publish(Figures("fsck", arena.command_line(), rows, facts={"file system": kind}), options.json)


if __name__ == "__main__":
    main()
