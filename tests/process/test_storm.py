"""A minute of kills under a real supervisor: nothing lost, nothing twice, nobody repairs anything by hand."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pqfs.model import State
from pqfs.runner import descendants
from tests.process.stage import Stage, eventually

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("PQFS_TEST_KILLS", "20"))  # of each kind
HANDLERS = """
import random, time

def work(context):
    time.sleep(random.uniform(0.005, 0.05))
    return b"out " + context.input.read_bytes()
"""
# A job that is running when its consumer is killed is charged a crash; with kills at random a few are hit twice.
SETTINGS = '[defaults]\nmax_crashes = 10\nhandler = {python = "own_handlers:work"}\n'


@pytest.fixture
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="pqfs-storm-") as root:
        stage = Stage(Path(root), SETTINGS, HANDLERS)
        yield stage
        _pqfs(stage, "down", check=False)


def _pqfs(stage: Stage, *arguments: str, check: bool = True) -> str:
    command = [sys.executable, "-m", "pqfs", "--config", str(stage.root / "pqfs.toml"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, cwd=stage.root)
    assert not check or done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout


def _processes(stage: Stage) -> dict[str, int]:
    found: list[dict[str, Any]] = json.loads(_pqfs(stage, "ps", "--json"))["items"]
    return {each["program"]: each["pid"] for each in found if each["pid"]}


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _kill_everything(stage: Stage) -> float:
    """kill -9 of supervisord and all below it, then `pqfs up`: seconds until something is processed again."""
    supervisord = int((stage.spool / "run" / "supervisord.pid").read_text())
    for pid in [supervisord, *descendants(supervisord)]:
        _kill(pid)
    _pqfs(stage, "up", "-d", "--no-ui")
    began, before = time.monotonic(), len(os.listdir(stage.outbox))
    _drop(stage, 5)
    eventually(lambda: len(os.listdir(stage.outbox)) > before, "work goes on after everything was killed")
    return time.monotonic() - began


_dropped = Counter[str]()


def _drop(stage: Stage, count: int) -> None:
    for _ in range(count):
        number = _dropped[str(stage.root)]
        stage.drop(f"f{number}.txt", b"%d" % number)
        _dropped[str(stage.root)] += 1


def _kill_one(stage: Stage, kind: str, chance: random.Random) -> bool:
    processes = _processes(stage)
    if kind == "everything":
        assert _kill_everything(stage) < 2.0
        return True
    candidates = [pid for program, pid in processes.items() if program.startswith(kind.replace("runner", "consumer"))]
    if kind == "runner":
        candidates = [below for pid in candidates for below in descendants(pid)]
    return bool(candidates) and _kill(chance.choice(candidates))


def test_a_storm_of_kills_loses_nothing_and_doubles_nothing(stage: Stage) -> None:
    chance = random.Random(20261122)
    _pqfs(stage, "up", "-d", "--no-ui")
    kinds = ["ingester", "consumer", "runner", "janitor", "everything"] * KILLS
    chance.shuffle(kinds)
    done = Counter[str]()

    while kinds:
        _drop(stage, 20)
        pause = time.monotonic() + chance.uniform(0.0, 0.5)
        while time.monotonic() < pause:
            _drop(stage, 1)
            time.sleep(0.02)  # the pace of the producer, not a wait for anything
        if _kill_one(stage, kinds[-1], chance):
            done[kinds.pop()] += 1

    total = _dropped[str(stage.root)]
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == total, "every job completes", 60)
    eventually(lambda: json.loads(_pqfs(stage, "fsck", "--json", check=False))["items"] == [], "fsck is clean", 30)
    assert Counter(stage.outputs()) == Counter(b"out %d" % number for number in range(total))
    assert set(done.values()) == {KILLS}
    _pqfs(stage, "down")
    stage.close()
