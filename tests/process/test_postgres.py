"""The whole stack on PostgreSQL: processes are killed, sessions ended, the server crashes; nothing is lost."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.model import State
from tests.process.stage import Stage, eventually

if TYPE_CHECKING:
    from tests.server import Server

pytestmark = pytest.mark.slow
_END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pqfs'"
PROGRAMS = {"ingest": "ingester", "consume": "consumer-00", "janitor": "janitor"}


@pytest.fixture
def stage(tmp_path: Path, safe_server: Server) -> Iterator[Stage]:
    """A spool whose index is a new database."""
    made = Stage(tmp_path, f'index = "{safe_server.fresh("stage")}"\n[consume]\nlease = "4s"\npoll_every = "1s"\n')
    yield made
    made.abandon()


def completed(stage: Stage, wanted: int) -> None:
    eventually(lambda: len(stage.jobs(State.COMPLETED)) >= wanted, f"{wanted} jobs are completed", within=60)


def test_files_become_outputs_though_every_process_is_killed(stage: Stage) -> None:
    running = {command: stage.start(command, program) for command, program in PROGRAMS.items()}
    for number, command in enumerate(PROGRAMS):
        for each in range(20):
            stage.drop(f"{number}-{each}")
        running[command].kill()
        running[command].wait()
        running[command] = stage.start(command, PROGRAMS[command])
        completed(stage, 20 * (number + 1))

    assert len(stage.outputs()) == len(stage.jobs()) == 60
    stage.close()


def test_nothing_is_lost_or_doubled_while_sessions_end_and_the_server_crashes(
    stage: Stage, safe_server: Server
) -> None:
    chance, dropped = random.Random(8), 0
    running = {command: stage.start(command, program) for command, program in PROGRAMS.items()}
    running["second"] = stage.start("consume", "consumer-01")
    programs = {**PROGRAMS, "second": "consumer-01"}

    def all_are_completed() -> bool:
        _start_again(stage, running, programs)
        return len(stage.jobs(State.COMPLETED)) >= dropped

    for blow in ["session", "crash", "session", "kill", "restart", "session", "kill", "crash"]:
        for _ in range(40):
            stage.drop(f"file-{dropped}")
            dropped += 1
        eventually(lambda: stage.outputs(), "work has begun", within=60)
        _strike(blow, safe_server, chance, running)
        _start_again(stage, running, programs)
    # Who was starting while the server crashed ends only now.
    eventually(all_are_completed, "all are completed", within=60)

    outputs = stage.outputs()
    assert len(outputs) == len(stage.jobs()) == dropped
    stage.close()


def _start_again(stage: Stage, running: dict[str, subprocess.Popen[bytes]], programs: dict[str, str]) -> None:
    """Start who has ended, as supervisor would."""
    for command, process in running.items():
        if process.poll() is not None:
            running[command] = stage.start("consume" if command == "second" else command, programs[command])


def _strike(blow: str, server: Server, chance: random.Random, running: dict[str, subprocess.Popen[bytes]]) -> None:
    if blow == "session":
        server.run(_END)
    elif blow == "kill":
        victim = chance.choice(sorted(running))
        running[victim].send_signal(signal.SIGKILL)
        running[victim].wait()
    else:
        server.stop("immediate" if blow == "crash" else "fast")
        server.start()
