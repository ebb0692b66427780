"""Two hosts on one spool and one PostgreSQL: what one leaves, the other ends; who was stopped publishes nothing.

A host is a UTS and a mount namespace here: it has a name of its own, and a run/ of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.model import State
from pqfs.runner import descendants
from tests.process.stage import Stage, eventually

if TYPE_CHECKING:
    from tests.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.root]
SLOW = """
import time

def work(context):
    while not (context.input.parents[2] / "go").exists():
        time.sleep(0.01)
    return b"out " + context.input.read_bytes()
"""
SETTINGS = """
index = "{address}"
[consume]
lease = "4s"
poll_every = "1s"
[defaults]
handler = {{python = "own_handlers:work"}}
"""


class Host:
    """One host: the processes in it, each in namespaces alike."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage = stage
        self._name = name
        self._run = stage.root / f"run-{name}"
        self._run.mkdir()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, command: str, program: str) -> None:
        """Start a process of this host and wait until it has an owner's lock."""
        inner = f'mount --bind "$0" "$1" && hostname {self._name} && exec "$2" -m pqfs {command}'
        arguments = [str(self._run), str(self._stage.spool / "run"), sys.executable]
        environment = {**os.environ, "PQFS_CONFIG": str(self._stage.root / "pqfs.toml")}
        environment |= {"SUPERVISOR_PROCESS_NAME": program}
        with (self._stage.root / "logs" / f"{self._name}-{program}.log").open("ab") as log:
            self.processes[program] = subprocess.Popen(
                ["unshare", "--mount", "--uts", "sh", "-c", inner, *arguments],
                env=environment,
                stdout=log,
                stderr=log,
            )
        eventually(lambda: list(self._run.glob(f"{program}.*.lock")), f"{program} on {self._name} has its lock")

    def stack(self) -> None:
        """Start one of each."""
        for command, program in (("janitor", "janitor"), ("ingest", "ingester"), ("consume", "consumer-00")):
            self.start(command, program)

    def send(self, number: int) -> None:
        """A signal for all of it, runners included."""
        for process in self.processes.values():
            for pid in [*descendants(process.pid), process.pid]:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue

    def wait(self) -> None:
        """Wait for the end of all of it."""
        for process in self.processes.values():
            process.wait(30)


@pytest.fixture
def stage(tmp_path: Path, server: Server) -> Iterator[Stage]:
    """A spool whose index is a new database."""
    if os.getuid() != 0 or not shutil.which("unshare"):
        pytest.skip("namespaces need root and unshare")
    server.run("DROP DATABASE IF EXISTS hosts WITH (FORCE)")
    server.run("CREATE DATABASE hosts")
    made = Stage(tmp_path, SETTINGS.format(address=server.address("hosts")), SLOW)
    yield made
    made.abandon()


@pytest.fixture
def hosts(stage: Stage) -> Iterator[tuple[Host, Host]]:
    """Two hosts, nothing running on them yet."""
    both = Host(stage, "alpha"), Host(stage, "beta")
    yield both
    for host in both:
        host.send(signal.SIGCONT)
        host.send(signal.SIGKILL)
        host.wait()


def processing(stage: Stage, host: str) -> list[str]:
    return [job.id for job in stage.jobs(State.PROCESSING) if str(job.owner).endswith(f".{host}")]


def finish(stage: Stage, hosts: tuple[Host, Host], wanted: int) -> None:
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == wanted, "all jobs are completed", within=40)
    eventually(lambda: len(stage.outputs()) == wanted, "all outputs are published")
    assert len(stage.jobs()) == wanted
    for host in hosts:
        host.send(signal.SIGTERM)
    for host in hosts:
        host.wait()
    stage.close()


def test_the_jobs_of_a_killed_host_finish_on_the_other(stage: Stage, hosts: tuple[Host, Host]) -> None:
    alpha, beta = hosts
    alpha.stack()
    for number in range(10):
        stage.drop(f"file-{number}")
    eventually(lambda: processing(stage, "alpha"), "alpha has begun")
    beta.stack()
    alpha.send(signal.SIGKILL)
    (stage.root / "go").touch()

    finish(stage, hosts, 10)


def test_a_host_that_slept_beyond_its_lease_publishes_nothing(stage: Stage, hosts: tuple[Host, Host]) -> None:
    alpha, beta = hosts
    alpha.stack()
    for number in range(10):
        stage.drop(f"file-{number}")
    eventually(lambda: processing(stage, "alpha"), "alpha has begun")
    alpha.send(signal.SIGSTOP)
    beta.stack()
    (stage.root / "go").touch()
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 10, "beta has done all of it", within=40)
    attempts = {job.id: job.attempt for job in stage.jobs()}

    alpha.send(signal.SIGCONT)
    eventually(
        lambda: alpha.processes["consumer-00"].poll() is not None, "alpha's consumer knows and ends", within=30
    )

    assert all(str(job.owner).endswith(".beta") for job in stage.jobs())
    assert {job.id: job.attempt for job in stage.jobs()} == attempts
    finish(stage, hosts, 10)


def test_what_one_host_takes_in_the_other_runs_at_once(stage: Stage, hosts: tuple[Host, Host]) -> None:
    alpha, beta = hosts
    (stage.root / "go").touch()
    alpha.start("ingest", "ingester")
    alpha.start("janitor", "janitor")
    beta.start("janitor", "janitor")
    beta.start("consume", "consumer-00")

    for number in range(6):
        stage.drop(f"file-{number}")
        eventually(lambda number=number: len(stage.outputs()) == number + 1, "beta runs it")  # type: ignore[misc]

    finish(stage, hosts, 6)
