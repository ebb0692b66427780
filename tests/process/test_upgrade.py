"""pqfs is exchanged for a newer one while it runs and jobs wait: nothing changes under the older, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.index import catalogue
from pqfs.index.schema import alone
from pqfs.model import State
from pqfs.settings import load
from pqfs.wiring import open_index
from tests import newer
from tests.process.stage import Stage, eventually
from tests.process.test_hosts import SLOW

if TYPE_CHECKING:
    from tests.server import Server

pytestmark = pytest.mark.slow
PROGRAMS = {"janitor": "janitor", "ingest": "ingester", "consume": "consumer-00"}
CONFIG = '[defaults]\nhandler = {python = "own_handlers:work"}\n[consume]\nlease = "4s"\npoll_every = "200ms"\n'
NEWER = "tests.newer"


@pytest.fixture(params=["sqlite", "postgres"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A spool whose handler waits for a file."""
    index = ""
    if request.param == "postgres":
        server: Server = request.getfixturevalue("server")
        index = f'index = "{server.fresh("upgraded")}"\n'
    made = Stage(tmp_path, index + CONFIG, SLOW)
    yield made
    made.abandon()


def test_a_newer_pqfs_leaves_the_index_to_the_older_until_that_has_ended_and_then_finishes_what_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = [stage.start(command, program) for command, program in PROGRAMS.items()]
    for number in range(20):
        stage.drop(f"file-{number}")
    eventually(lambda: stage.jobs(State.PROCESSING), "work has begun")
    before = stage.index.engine.schema_version()

    assert "of the older pqfs" in submit_by_newer(stage)
    assert stage.start("consume", "consumer-01", module=NEWER).wait(60) == 1
    assert stage.index.engine.schema_version() == before
    assert len(stage.jobs()) == 20

    for process in older:
        process.send_signal(signal.SIGTERM)
    stage.drop("meanwhile")
    (stage.root / "go").touch()
    assert [process.wait(60) for process in older] == [0, 0, 0]
    for command, program in PROGRAMS.items():
        stage.start(command, program, module=NEWER)
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 21, "all of the backlog is completed", 60)

    assert stage.index.engine.schema_version() == before + 1
    assert len(stage.outputs()) == len(stage.jobs()) == 21
    assert stage.start("consume", "consumer-02").wait(60) == 6
    assert f"knows up to {before}" in stage.log("consumer-02")
    monkeypatch.setattr(catalogue, "migrations", newer.migrations)
    stage.close()


def test_an_older_pqfs_that_slept_through_an_upgrade_ends_by_itself_and_the_newer_does_its_work(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = {program: stage.start(command, program) for command, program in PROGRAMS.items()}
    older["courier"] = stage.start("courier")
    stage.drop("file")
    eventually(lambda: stage.jobs(State.PROCESSING), "work has begun")
    monkeypatch.setattr(catalogue, "migrations", newer.migrations)

    open_index(load({"config": str(stage.root / "pqfs.toml")}, {}).settings, consent=alone).close()

    assert {program: process.wait(60) for program, process in older.items()} == dict.fromkeys(older, 6)
    assert all("Install the newer pqfs here" in stage.log(program) for program in older)
    assert not stage.outputs()
    (stage.root / "go").touch()
    for command, program in PROGRAMS.items():
        stage.start(command, program, module=NEWER)
    eventually(lambda: stage.jobs(State.COMPLETED), "the newer one has done it")
    stage.close()


def submit_by_newer(stage: Stage) -> str:
    """What a person is told who submits a file by the newer pqfs, in vain."""
    (stage.root / "file").write_bytes(b"not taken")
    environment = {**os.environ, "PQFS_CONFIG": str(stage.root / "pqfs.toml")}
    command = [sys.executable, "-m", NEWER, "submit", str(stage.root / "file")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return " ".join(done.stderr.split())
