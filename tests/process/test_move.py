"""The index moves to a server and back under a whole stack, while files are dropped: each comes out once."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.index.recording import whose_changes
from pqfs.index.sqlite import SqliteEngine
from pqfs.model import State
from pqfs.settings import load
from pqfs.wiring import open_app
from tests.api.serving import free_port
from tests.process.stage import eventually
from tests.process.test_supervisor import Place, enqueued, place
from tests.world import invariants

if TYPE_CHECKING:
    from tests.server import Server

__all__ = ["place"]
pytestmark = pytest.mark.slow


@pytest.fixture
def target(server: Server) -> str:
    """A database of its own."""
    return server.fresh("moved")


class Producer:
    """Drops one file after the other until it is told to stop."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.dropped = 0

    def __enter__(self) -> Producer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            name = f"file-{self.dropped}"
            (self._root / name).write_text(name)
            (self._root / name).rename(self._root / "spool" / "inbox" / name)
            self.dropped += 1


def test_an_index_moves_under_a_running_stack_and_every_file_comes_out_once(place: Place, target: str) -> None:
    port = free_port()
    (place.root / "pqfs.toml").write_text(f"[api]\nport = {port}\n")
    place.up("--consumers", "2")
    with_api(place, port)
    with Producer(place.root) as producer:
        killed_while_it_copies(place, target)
        for source, wanted in (("sqlite", target), (target, "sqlite")):
            before = producer.dropped + 10
            eventually(lambda: len(outputs(place)) > before, "work goes on", 60)  # noqa: B023 -- asked at once

            moved = place.pqfs("index", "move", source, wanted, "--yes")

            assert moved.returncode == 0, moved.stderr
            assert "was paused for" in moved.stderr
            assert f'index = "{wanted}"' in (place.root / "pqfs.toml").read_text()
    eventually(lambda: len(outputs(place)) == producer.dropped + 1, "all have come out", 90)
    assert len({name.rpartition("_")[2] for name in outputs(place)}) == producer.dropped + 1
    assert eventually(lambda: enqueued(port, "again"), "a job over HTTP", 60)
    eventually(lambda: len(outputs(place)) == producer.dropped + 2, "that comes out", 60)
    assert place.pqfs("down").returncode == 0
    with closing(open_app(load({"spool": str(place.root / "spool"), "index": "sqlite"}, {}))) as app:
        invariants(app.spool, app.index)
        counts = {state: jobs for _, state, jobs in app.index.counts() if jobs}
    assert counts == {State.COMPLETED: producer.dropped + 2}
    assert (place.root / "spool" / "index.db").exists()


def killed_while_it_copies(place: Place, target: str) -> None:
    """Begin a move and kill it as soon as it records what changes; nobody is held up by what it leaves."""
    with closing(SqliteEngine(place.root / "spool" / "index.db", read_only=True)) as engine:
        mover = place.spawn("index", "move", "sqlite", target, "--yes")
        eventually(lambda: whose_changes(engine), "it has begun to record", 60)
        mover.kill()
        mover.communicate()
        assert whose_changes(engine), "it was killed too late to leave anything"


def outputs(place: Place) -> list[str]:
    """The names in the outbox."""
    return [path.name for path in place.outbox.iterdir()]


def with_api(place: Place, port: int) -> None:
    """Have supervisor run the API as well, and make it use the index."""
    pytest.importorskip("fastapi")
    control = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(place.run / "supervisord.conf")]
    start = [*control, "start", "pqfs:api"]
    subprocess.run(start, cwd=place.root, env=place.environment, capture_output=True, timeout=60, check=True)
    assert eventually(lambda: enqueued(port, "first"), "a job over HTTP", 60)
