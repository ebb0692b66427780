"""A seeded sample of the points, every scenario and every error among them; `python -m tests.faults` tries all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import aftermath
from tests.faults.injector import Action, Fault, Injector, NotHere, Run
from tests.faults.points import ERRNOS, LIES, Point
from tests.faults.scenarios import SCENARIOS

_ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _possible_here() -> None:
    try:
        Injector()
    except NotHere as error:
        pytest.skip(str(error))


def _run(*arguments: str, patience: float = 600) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the injector wants one without threads and other children."""
    command = [sys.executable, "-m", "tests.faults", "--jobs", "2", *arguments]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=patience)


@pytest.mark.parametrize(("kind", "sample"), [("kill", 100), ("errno", 160), ("lie", 40), ("double", 60)])
def test_no_system_call_that_is_struck_loses_doubles_or_charges_a_job(kind: str, sample: int) -> None:
    ended = _run("--kinds", kind, "--sample", str(sample), "--seed", "20261122")

    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]


def test_a_point_is_told_by_its_name() -> None:
    faults = [Fault("main", "openat", 3, Action.FAIL, error) for error in ERRNOS]
    faults += [Fault("runner", "renameat2", 1, Action.LIE, error) for error in LIES["renameat2"]]
    faults.append(Fault("main", "syncfs", 1, Action.KILL))
    for fault in faults:
        point = Point("ingest", fault, faults[-1])
        assert Point.parse(str(point)) == point


def test_the_injector_strikes_what_it_is_told_to(tmp_path: Path) -> None:
    ended = _run("--point", "ingest-one/main/syncfs/1/KILL")

    assert "struck: False" in ended.stdout, "one file is synced by itself"
    ended = _run("--point", "ingest-one/main/renameat2/1/KILL", "--keep", str(tmp_path / "kept"))
    assert "struck: True, answers: {}" in ended.stdout, ended.stdout + ended.stderr
    assert "main\trenameat2\t1\tkilled\tinbox/alone -> ready/" in (tmp_path / "kept" / "calls").read_text()


_STRACE = [("ingest", "renameat2"), ("ingest", "pwrite64"), ("consume", "renameat2"), ("consume", "fsync"),
           ("janitor", "unlinkat"), ("janitor", "fdatasync")]  # fmt: skip
_SPOOLS = {"ingest": "ingest", "consume": "consume-badly", "janitor": "reap"}
_END = {"ingest": "--drain", "consume": "--drain", "janitor": "--once"}


@pytest.mark.parametrize(("command", "call"), _STRACE)
def test_what_strace_kills_is_whole_again(tmp_path: Path, command: str, call: str) -> None:
    """A few points with strace on the program itself, nothing forked and nothing cut short."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not here")
    for n in (1, 2, 4):
        root = tmp_path / str(n)
        root.mkdir()
        SCENARIOS[_SPOOLS[command]](root).write(root)
        inject = ["-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}"]
        with (root / "log").open("wb") as log:
            subprocess.run(
                ["strace", *inject, sys.executable, "-m", "pqfs", command, _END[command]],
                cwd=root, stdout=log, stderr=log, timeout=60, check=False,
            )  # fmt: skip
        fault = Fault("main", call, n, Action.KILL)
        assert aftermath.check(root, (fault,), Run(0, (True,), ()), {"permanent": (1, 0), "fails": (1, 0)}) == []
