"""The whole stack behind a proxy that gives every transaction another session: it leaves nothing in any."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.model import State
from tests.process.stage import Stage, eventually

if TYPE_CHECKING:
    from tests.proxy import Proxy
    from tests.server import Server

pytestmark = pytest.mark.slow
PROGRAMS = {"janitor": "janitor", "ingest": "ingester", "consume": "consumer-00"}
CONFIG = """\
index = "{address}"
[consume]
lease = "4s"
poll_every = "200ms"
"""
END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'proxied'"
# Whatever a session keeps beyond a transaction would be somebody else's.
KEPT = """
SELECT name FROM pg_prepared_statements
UNION ALL SELECT pg_listening_channels()
UNION ALL SELECT mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
UNION ALL SELECT name FROM pg_settings WHERE source = 'session' AND name <> 'application_name'
"""


@pytest.fixture(scope="module")
def proxy(safe_server: Server) -> Iterator[Proxy]:
    """A proxy before the server."""
    from tests.proxy import Proxy, program

    if program() is None:
        pytest.skip("pgbouncer is not installed")
    safe_server.run("CREATE DATABASE proxied")
    with Proxy.started(safe_server) as found:
        yield found


@pytest.fixture
def stage(tmp_path: Path, proxy: Proxy, safe_server: Server) -> Iterator[Stage]:
    """A spool whose index is a new database behind the proxy."""
    made = Stage(tmp_path, CONFIG.format(address=proxy.address("proxied")))
    yield made
    made.abandon()


def test_everything_works_behind_a_proxy_that_shares_sessions(
    stage: Stage, proxy: Proxy, safe_server: Server
) -> None:
    running = {command: stage.start(command, program) for command, program in PROGRAMS.items()}
    running["second"] = stage.consumer("consumer-01")
    for done, blow in enumerate(("none", "session", "consumer", "proxy", "server")):
        for number in range(20):
            stage.drop(f"{blow}-{number}")
        eventually(lambda done=done: len(stage.jobs()) > 20 * done, "work has begun", 40)  # type: ignore[misc]
        assert proxy.asks_each("proxied", KEPT) == []
        _strike(blow, running, proxy, safe_server)
        eventually(lambda done=done: len(stage.jobs(State.COMPLETED)) == 20 * (done + 1), f"after {blow}", 60)  # type: ignore[misc]

    assert {name for name, process in running.items() if process.poll() is not None} == {"second"}
    assert len(stage.outputs()) == len(stage.jobs()) == 100
    assert "nobody is woken through it" in doctor(stage)
    stage.close()


def _strike(blow: str, running: dict[str, subprocess.Popen[bytes]], proxy: Proxy, server: Server) -> None:
    if blow == "session":
        server.run(END)
    elif blow == "consumer":
        running["second"].kill()
    elif blow == "proxy":
        proxy.stop()
        proxy.start()
    elif blow == "server":
        server.stop("immediate")
        server.start()
        proxy.wait("proxied")


def doctor(stage: Stage) -> str:
    """What doctor says."""
    environment = {**os.environ, "PQFS_CONFIG": str(stage.root / "pqfs.toml")}
    command = [sys.executable, "-m", "pqfs", "doctor"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout
