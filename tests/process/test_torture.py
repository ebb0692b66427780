"""`pqfs torture` as its user runs it: a short storm is survived, and harm done to what it left is found."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pqfs.torture.ground import Ground
from pqfs.torture.plan import Kind
from pqfs.torture.targets import left_behind
from tests.process.stage import eventually

pytestmark = pytest.mark.slow
SEED = 20261122


def _torture(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pqfs", "torture", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


def _judgement(done: subprocess.CompletedProcess[str]) -> str:
    """What a storm that was not survived says of itself, the wrong things first: a report cuts long lines."""
    if not done.stdout:
        return done.stderr[-2000:]
    verdict = json.loads(done.stdout)
    return "\n".join([*(f"{what}: {found}" for what, found in verdict["wrong"].items() if found), done.stdout])


@pytest.fixture(scope="module")
def storm() -> Iterator[tuple[Ground, dict[str, Any]]]:
    """The ground of a storm that has been survived, kept; and its verdict."""
    with tempfile.TemporaryDirectory(prefix="pqfs-torture-") as root:
        done = _torture("--kills", "45", "--seconds", "30", "--seed", str(SEED), "--in", root, "--keep", "--json")
        assert done.returncode == 0, _judgement(done)
        yield Ground(Path(root)), json.loads(done.stdout)


def test_a_storm_loses_nothing_doubles_nothing_and_tears_nothing(storm: tuple[Ground, dict[str, Any]]) -> None:
    _, verdict = storm

    assert verdict["good"] and set(verdict["counts"].values()) == {0}
    assert verdict["seed"] == SEED
    assert verdict["sent"] > 50 and verdict["out"] > 30
    assert set(verdict["kills"]) >= set(Kind) - {Kind.FULL}, "each kind of act was done at least once"
    assert verdict["survived"] >= 45
    assert verdict["settled"] < 60
    assert "why" in verdict["small"] or (verdict["small"]["full"] >= 1 and verdict["small"]["paused"] >= 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_storm_that_is_ended_early_leaves_nothing_running(number: signal.Signals) -> None:
    with tempfile.TemporaryDirectory(prefix="pqfs-torture-") as root:
        ground = Ground(Path(root))
        command = [sys.executable, "-m", "pqfs", "torture", "--in", root, "--consumers", "1"]
        storm = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: list(ground.taken.glob("*")), "the first output is taken away", 60)

        storm.send_signal(number)

        assert storm.wait(60) == (130 if number is signal.SIGINT else -number)
        eventually(lambda: not left_behind(ground), "the stack is swept away", 60)
        try:
            eventually(lambda: not _actors(root), "the actors end", 60)
        except AssertionError as error:
            error.add_note("\n".join(_actors(root)))
            raise


def _actors(root: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_text().split("\0")
        except OSError:
            continue
        if root in words:
            found.append(" ".join(words))
    return found


def _an_output(ground: Ground) -> Path:
    return next(path for path in sorted(ground.taken.iterdir()) if path.is_file() and path.stat().st_size > 200)


def _double(ground: Ground) -> None:
    output = _an_output(ground)
    shutil.copy(output, ground.spool / "outbox" / output.name.replace("2026", "2027", 1))


def _cut(ground: Ground) -> None:
    output = _an_output(ground)
    os.truncate(output, output.stat().st_size // 2)


def _remove_input(ground: Ground) -> None:
    next((ground.spool / "done").glob("*/*")).unlink()


@pytest.mark.parametrize(
    ("harm", "word"), [(_double, "doubled"), (_cut, "torn"), (_remove_input, "lost")], ids=["double", "cut", "remove"]
)
def test_harm_done_behind_its_back_is_found(
    storm: tuple[Ground, dict[str, Any]], tmp_path: Path, harm: Callable[[Ground], None], word: str
) -> None:
    shutil.copytree(storm[0].root, tmp_path / "copy", ignore=lambda folder, names: {"run"} & set(names))
    ground = Ground(tmp_path / "copy")
    harm(ground)

    done = _torture("--judge", str(ground.root), "--json")

    assert done.returncode == 1, (done.stdout, done.stderr)
    assert json.loads(done.stdout)["counts"][word] >= 1
