"""Receipts and hooks with real processes: a courier that is killed again and again, and one under supervisor."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pqfs.index.notices import Notices
from pqfs.model import State
from tests.process.stage import Stage, eventually

KILLS, FILES = 6, 40


class Receiver(ThreadingHTTPServer):
    """Counts the notices that it hears, and answers 503 to the first try of every third one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hearing)
        self.heard: Counter[str] = Counter()
        self.accepted: dict[str, str] = {}  # id -> job
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Hearing(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard[body["id"]] += 1
        is_willing = self.server.heard[body["id"]] > 1 or int(body["job"][-1], 16) % 3
        if is_willing:
            self.server.accepted[body["id"]] = body["job"]
        self.send_response(204 if is_willing else 503)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_however_often_the_courier_is_killed_everything_is_told_and_nothing_oftener_than_promised(
    tmp_path: Path, receiver: Receiver
) -> None:
    hook = f'on = ["completed"]\nurl = "{receiver.url}"\nbackoff = "50ms"\n'
    stage = Stage(tmp_path, f"[defaults]\nreceipts = true\n[[defaults.hooks]]\n{hook}")
    ingester, consumer, janitor = stage.start("ingest"), stage.consumer(), stage.start("janitor")
    courier = stage.start("courier")
    for number in range(FILES):
        stage.drop(f"{number}.txt")
        if number % (FILES // KILLS) == 3:
            before = len(receiver.accepted)
            eventually(lambda before=before: len(receiver.accepted) > before, "the hook hears something")  # type: ignore[misc]
            courier.send_signal(signal.SIGKILL)
            courier.wait(20)
            courier = stage.start("courier")

    eventually(lambda: len(stage.jobs(State.COMPLETED)) == FILES, "all are completed")
    eventually(lambda: not Notices(stage.index.engine).sinks(), "everything was told")

    assert Counter(receiver.accepted.values()) == Counter(job.id for job in stage.jobs())
    assert all(times <= 2 + KILLS for times in receiver.heard.values())
    for number in range(FILES):
        receipt = json.loads((stage.spool / "receipts" / f"{number}.txt.json").read_bytes())
        assert (stage.outbox / receipt["output"]).exists()
    for process in (courier, ingester, consumer, janitor):
        assert stage.stop(process) == 0
    stage.close()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A unix socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="pq-") as path:
        yield Path(path)


@pytest.mark.slow
def test_the_courier_starts_with_the_first_queue_that_wants_it(short_path: Path) -> None:
    stage = Stage(short_path, "consumers = 1\n")

    def pqfs(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pqfs", "--config", str(short_path / "pqfs.toml"), *arguments]
        return subprocess.run(command, cwd=short_path, capture_output=True, text=True, timeout=60, check=False)

    def living() -> str:
        return " ".join(sorted(path.name for path in (stage.spool / "run").glob("courier*.bell")))

    try:
        assert pqfs("up", "-d", "--no-ui").returncode == 0
        assert not living()
        assert pqfs("queue", "set", "default", "receipts=true").returncode == 0
        eventually(living, "the courier listens")
        (short_path / "a.txt").write_text("payload")
        dropped = pqfs("drop", "a.txt", "--wait", "--timeout", "30s", "--json")
        assert dropped.returncode == 0, dropped.stderr
        assert json.loads(dropped.stdout)["items"][0]["receipt"]["state"] == "completed"
        assert pqfs("consumers", "restart").stdout.split()[-1] == "courier"
        assert pqfs("down").returncode == 0
        assert pqfs("up", "-d", "--no-ui").returncode == 0
        eventually(living, "it starts with the stack")
    finally:
        pqfs("down")
    stage.close()
