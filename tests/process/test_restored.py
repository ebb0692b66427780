"""An older dump of the index is put back after everything fell: it is known for one, nothing runs twice."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.custody import read_identity
from pqfs.model import State
from pqfs.spool import Spool
from tests.process.stage import Stage, eventually

if TYPE_CHECKING:
    from tests.server import Server

pytestmark = pytest.mark.slow
CONFIG = '[defaults]\nhandler = {python = "own_handlers:work"}\n[consume]\nlease = "4s"\npoll_every = "200ms"\n'
WAITS = """
import time

def work(context):
    while context.name.startswith("waits") and not (context.input.parents[2] / "go").exists():
        time.sleep(0.01)
    return b"out " + context.input.read_bytes()
"""
END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname IN ('dump', 'restored')"
PROGRAMS = {"ingest": "ingester", "consume": "consumer-00"}


class Dumped(Stage):
    """A stage whose index can be dumped and put back while nobody works: its file, or its database as a template."""

    def __init__(self, root: Path, server: Server | None) -> None:
        self._server = server
        index = f'index = "{server.fresh("restored")}"\n' if server else ""
        super().__init__(root, index + CONFIG, WAITS)

    def everything(self) -> None:
        """Start one of each but a janitor."""
        for command, program in PROGRAMS.items():
            self.start(command, program)

    def falls(self) -> None:
        """All of it is killed at once."""
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.index.close()
        del self._index

    def dump(self) -> None:
        """Copy the index."""
        if self._server:
            self._copy("restored", "dump")
            return
        (self.root / "dump").mkdir()
        for path in self.spool.glob("index.db*"):
            shutil.copy(path, self.root / "dump")

    def restore(self) -> None:
        """Put the copy back."""
        if self._server:
            self._copy("dump", "restored")
            return
        for path in self.spool.glob("index.db*"):
            path.unlink()
        for path in (self.root / "dump").iterdir():
            shutil.copy(path, self.spool)

    def _copy(self, source: str, target: str) -> None:
        assert self._server
        self._server.run(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
        self._server.run(END)
        self._server.run(f"CREATE DATABASE {target} TEMPLATE {source}")

    def era(self) -> int:
        """The tree's."""
        mark = read_identity(Spool(self.spool))
        assert mark
        return mark.era


@pytest.fixture(params=["sqlite", "postgres"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dumped]:
    """A spool of which nothing has run yet."""
    made = Dumped(tmp_path, request.getfixturevalue("server") if request.param == "postgres" else None)
    yield made
    made.abandon()


def complete(stage: Stage, *names: str, of_all: int) -> None:
    for name in names:
        stage.drop(name, name.encode())
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == of_all, f"{of_all} are completed")


def test_a_dump_that_was_made_in_the_midst_of_a_run_is_known_for_an_older_one(stage: Dumped) -> None:
    stage.everything()
    complete(stage, "a1", "a2", of_all=2)
    stage.drop("waits-for-long", b"waits-for-long")
    eventually(lambda: stage.jobs(State.PROCESSING), "it has begun")
    stage.falls()
    stage.dump()
    era = stage.era()

    (stage.root / "go").touch()
    stage.everything()
    stage.start("janitor")
    complete(stage, "b1", "b2", of_all=5)
    eventually(lambda: stage.era() > era, "a janitor has begun another era")
    (stage.root / "go").unlink()
    stage.drop("waits-once-more", b"waits-once-more")
    eventually(lambda: stage.jobs(State.PROCESSING), "one runs")
    before = stage.outputs()
    stage.falls()
    stage.restore()

    (stage.root / "go").touch()
    stage.everything()
    stage.start("janitor")
    [doubted] = eventually(lambda: stage.jobs(State.HELD), "what ran may have been published, and is held")
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 5, "what was completed is")
    assert stage.outputs() == before
    assert any("older than the tree" in stage.log(each) for each in [*PROGRAMS.values(), "janitor"])
    with stage.app() as app:
        app.jobqueue.release(app.jobqueue.job(doubted.id), "me", None, app.clock.now())
    complete(stage, "c1", of_all=7)
    names = ("a1", "a2", "waits-for-long", "b1", "b2", "waits-once-more", "c1")
    assert Counter(stage.outputs()) == Counter(b"out " + name.encode() for name in names)
    stage.close()
