"""Bulk acts that are killed at any commit: the spool is whole, and the same act goes on with the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pqfs.model import State
from tests.process.stage import PATIENCE, Stage

_JOBS = 6
_KILLED = 9
# Runs the command line and dies, without a word, before its n-th commit from then on; the answer is its exit code.
_DYING = """
import os, sys
from pqfs import cli
from pqfs.index.sqlite import SqliteEngine
left, commit = iter(range(int(sys.argv[1]))), SqliteEngine._commit
def dying(engine):
    if next(left, None) is None:
        os._exit(9)
    commit(engine)
SqliteEngine._commit = dying
sys.exit(cli.run(sys.argv[2:]))
"""


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, "[defaults]\nmax_failures = 1\n")


def run(stage: Stage, *words: str, commits: int | None = None) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own; with `commits` it dies after so many."""
    how = ["-m", "pqfs"] if commits is None else ["-c", _DYING, str(commits)]
    return subprocess.run(
        [sys.executable, *how, *words], cwd=stage.root, capture_output=True, text=True, timeout=60, check=False
    )


def feed(stage: Stage, after: str) -> None:
    """Jobs that wait, or that a verb (`fail`) or a consumer has ended."""
    paths = []
    for number in range(_JOBS):
        paths.append(stage.root / f"{number}.txt")
        paths[-1].write_text(f"payload {number}")
    assert run(stage, "submit", *map(str, paths)).returncode == 0
    if after == "consume":
        assert stage.start("consume", None, "--drain").wait(PATIENCE) == 0
    elif after != "submit":
        done = run(stage, "jobs", after, "--all", "-y")
        assert done.returncode == 0, done.stderr


ACTS = [
    ("submit", ("jobs", "hold", "--all"), {State.HELD: _JOBS}),
    ("submit", ("jobs", "priority", "7", "--all"), {State.PENDING: _JOBS}),
    ("submit", ("jobs", "reschedule", "--delay", "1h", "--all"), {State.PENDING: _JOBS}),
    ("submit", ("jobs", "cancel", "--all"), {State.CANCELLED: _JOBS}),
    ("fail", ("dead", "redrive", "--all", "--rate", "1/s"), {State.PENDING: _JOBS}),
    ("fail", ("dead", "purge", "--all"), {}),
    ("fail", ("jobs", "delete", "--all", "--files-only"), {State.FAILED: _JOBS}),
    ("consume", ("jobs", "delete", "--all"), {}),
    ("consume", ("replay", "--all"), {State.COMPLETED: _JOBS, State.PENDING: _JOBS}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("after", "words", "end"), ACTS, ids=[" ".join(words) for _, words, _ in ACTS])
def test_a_bulk_act_that_is_killed_leaves_a_whole_spool_and_goes_on(
    stage: Stage, after: str, words: tuple[str, ...], end: dict[State, int]
) -> None:
    feed(stage, after)

    codes = [run(stage, *words, "-y", commits=commits).returncode for commits in (0, 1, 2, 5, 8)]
    assert _KILLED in codes, "it was over before it could be killed"
    assert run(stage, "janitor", "--once").returncode == 0
    assert run(stage, "fsck").returncode == 0

    run(stage, *words, "-y")
    assert run(stage, "janitor", "--once").returncode == 0
    clean = run(stage, "fsck", "--json")
    assert clean.returncode == 0, json.loads(clean.stdout)["items"]
    assert run(stage, "audit", "verify").returncode == 0
    states = [job.state for job in stage.jobs()]
    assert {state: states.count(state) for state in set(states)} == end
    if not end:
        for output in stage.outbox.iterdir():
            output.unlink()  # a reader takes what no row tells of any more
    stage.close()
