"""A stack whose index breaks under it says so, waits without a flood of words, and goes on when it is mended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs.index.sqlite import SqliteEngine
from pqfs.owners import Owners
from tests.process.stage import Stage, eventually

pytestmark = pytest.mark.slow
WITHIN = 90.0


def _pqfs(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pqfs", "--config", str(stage.root / "pqfs.toml"), *arguments]
    return subprocess.run(command, cwd=stage.root, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path, "")
    assert _pqfs(stage, "up", "-d", "--no-ui").returncode == 0
    yield stage
    _pqfs(stage, "down")
    stage.close()


def _break(index: Path) -> None:
    """Zero all but the first page, as a failing disk may; one descriptor, in a process that has no lock to lose."""
    code = (
        "import os, sys; f = os.open(sys.argv[1], os.O_WRONLY); os.pwrite(f, bytes(os.fstat(f).st_size - 4096), 4096)"
    )
    subprocess.run([sys.executable, "-c", code, str(index)], check=True)


def _complaints(stage: Stage) -> int:
    return "".join(path.read_text() for path in (stage.root / "logs").glob("*.log")).count("is damaged")


def test_a_stack_whose_index_breaks_waits_quietly_and_goes_on_when_it_was_made_again(stage: Stage) -> None:
    stage.drop("before")
    eventually(stage.outputs, "the first job is done", WITHIN)
    eventually(lambda: stage.jobs() and all(job.confirmed for job in stage.jobs()), "all is at rest", WITHIN)
    assert isinstance(stage.index.engine, SqliteEngine)
    with stage.app() as app:
        app.index.engine.checkpoint()
    _break(stage.spool / "index.db")
    for facts in Owners(stage.spool / "run").living():
        os.kill(facts.pid, signal.SIGKILL)

    eventually(lambda: _complaints(stage) >= 4, "everybody who is started again says so", WITHIN)
    assert not Owners(stage.spool / "run").living()
    assert _pqfs(stage, "status").returncode == 6
    assert _complaints(stage) < 40

    done = _pqfs(stage, "index", "rebuild", "--restart")
    assert done.returncode == 0, done.stderr

    stage.drop("after")
    eventually(lambda: len(stage.outputs()) == 2, "the stack goes on by itself", WITHIN)
