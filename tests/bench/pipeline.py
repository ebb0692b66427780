"""First figures of a whole stack: drop to output, drain rate, idle cost, `pqfs status`. A program, not a test.

    python -m tests.bench.pipeline [--jobs 3000] [--size 1024] [--drops 100] [--idle 20] [--json]

It starts `pqfs up -d --no-ui` on a scratch spool below the system's temporary directory and stops it again. Machines
of this class are noisy: compare figures of one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pqfs.runner import descendants


def _pqfs(root: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pqfs", "--spool", str(root / "spool"), "--logs", str(root / "logs"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout


def _drop(root: Path, name: str, data: bytes) -> None:
    (root / "drop").write_bytes(data)
    (root / "drop").rename(root / "spool" / "inbox" / name)


def _until_outputs(root: Path, count: int, patience: float = 300.0) -> None:
    deadline = time.monotonic() + patience
    while len(os.listdir(root / "spool" / "outbox")) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"only {len(os.listdir(root / 'spool' / 'outbox'))} of {count} outputs came")
        time.sleep(0.0005)


def _one_drop(root: Path, name: str) -> float:
    before, began = len(os.listdir(root / "spool" / "outbox")), time.perf_counter()
    _drop(root, name, b"drop\n")
    _until_outputs(root, before + 1)
    return (time.perf_counter() - began) * 1e3


def _cpu(pids: list[int]) -> float:
    """Seconds of processor time that these processes have used, to the nanosecond."""
    spent = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9


def _idle_percent(root: Path, seconds: float) -> float:
    supervisord = int((root / "spool" / "run" / "supervisord.pid").read_text())
    pids = [supervisord, *descendants(supervisord)]
    before = _cpu(pids)
    time.sleep(seconds)
    return (_cpu(pids) - before) / seconds * 100


def _drain(root: Path, jobs: int, size: int) -> float:
    before, data = len(os.listdir(root / "spool" / "outbox")), b"x" * size
    began = time.perf_counter()
    for number in range(jobs):
        (root / "spool" / "inbox" / f"job{number:06d}").write_bytes(data)
    _until_outputs(root, before + jobs)
    return jobs / (time.perf_counter() - began)


def _status_seconds(root: Path) -> float:
    began = time.perf_counter()
    _pqfs(root, "status")
    return time.perf_counter() - began


def measure(jobs: int, size: int, drops: int, idle: float) -> dict[str, float]:
    """Run the stack once and return the figures."""
    with tempfile.TemporaryDirectory(prefix="pqfs-bench-") as scratch:
        root = Path(scratch)
        _pqfs(root, "up", "-d", "--no-ui")
        try:
            figures = {"first drop after start, ms": _one_drop(root, "first")}
            each = sorted(_one_drop(root, f"drop{number}") for number in range(drops))
            figures["drop when idle, median ms"] = statistics.median(each)
            figures["drop when idle, p99 ms"] = each[max(0, int(len(each) * 0.99) - 1)]
            figures[f"drain of {jobs} x {size} bytes, jobs/s"] = _drain(root, jobs, size)
            time.sleep(6)  # let the janitor and the confirmations settle: what follows is about an idle stack
            figures["idle stack, % of a core"] = _idle_percent(root, idle)
            figures["pqfs status, s"] = statistics.median(_status_seconds(root) for _ in range(5))
        finally:
            _pqfs(root, "down")
    return figures


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--drops", type=int, default=100)
    parser.add_argument("--idle", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.jobs, options.size, options.drops, options.idle)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:40} {value:10.3f}")


if __name__ == "__main__":
    main()
