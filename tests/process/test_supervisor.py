"""A real supervisord: up, down, ps, and every death. Needs a few seconds each, so most are slow."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pqfs.owners import Owners
from pqfs.runner import descendants
from pqfs.spool import Spool
from pqfs.stack.shipped import shipped
from tests.api.serving import free_port
from tests.process.stage import eventually

_PROGRAMS = ["consumer-00", "consumer-01", "ingester", "janitor"]
_PATIENCE = 60.0

pytestmark = pytest.mark.slow


class Place:
    """A directory in which a person works: `pqfs up` there makes ./spool and ./logs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run = root / "spool" / "run"
        self.outbox = root / "spool" / "outbox"
        self.environment = {name: text for name, text in os.environ.items() if not name.startswith("PQFS_")}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def pqfs(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours to its end."""
        command = [sys.executable, "-m", "pqfs", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=90, check=False
        )

    def spawn(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of ours that stays."""
        command = [sys.executable, "-m", "pqfs", *arguments]
        return subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, text=True)

    def up(self, *flags: str) -> None:
        """Start the stack in the background."""
        ended = self.pqfs("up", "-d", "--no-ui", *flags)
        assert ended.returncode == 0, ended.stderr

    def processes(self) -> dict[str, dict[str, Any]]:
        """What `pqfs ps` says, by program."""
        return {each["program"]: each for each in json.loads(self.pqfs("ps", "--json").stdout)["items"]}

    def living(self) -> list[str]:
        """The programs whose locks are held."""
        return sorted(facts.program for facts in Owners(self.run).living())

    def supervisord(self) -> int:
        """The pid of supervisord."""
        return int((self.run / "supervisord.pid").read_text())

    def passes_through(self, name: str) -> None:
        """Drop a file and wait for its output."""
        (self.root / name).write_text(name)
        (self.root / name).rename(self.root / "spool" / "inbox" / name)
        (output,) = eventually(lambda: list(self.outbox.glob(f"*_{name}")), f"{name} comes out", _PATIENCE)
        assert output.read_text().endswith(name)


@pytest.fixture
def place() -> Iterator[Place]:
    """A short path, because a unix socket's path has at most 107 bytes."""
    found = Place(Path(tempfile.mkdtemp(prefix="pq-")))
    yield found
    if (found.run / "supervisor.sock").exists():
        found.pqfs("down")
    eventually(lambda: not found.living(), "everything has ended", _PATIENCE)
    shutil.rmtree(found.root)


def test_a_file_passes_through_and_down_leaves_nothing_behind(place: Place) -> None:
    place.up()
    assert sorted(place.processes()) == _PROGRAMS
    place.passes_through("hello.txt")
    pids = [each["pid"] for each in place.processes().values()]

    assert place.pqfs("down").returncode == 0

    assert place.living() == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert place.pqfs("down").returncode == 5


def test_up_begins_no_new_spool_where_the_volume_of_the_old_one_is_not_mounted(place: Place) -> None:
    place.pqfs("up", "-d", "--no-ui", "--consumers", "1")
    place.pqfs("down")
    (place.root / "spool").rename(place.root / "volume")

    refused = place.pqfs("up", "-d", "--no-ui")

    assert refused.returncode == 1
    assert "Is its volume mounted?" in refused.stderr
    (place.root / "volume").rename(place.root / "spool")


def test_up_prints_three_lines_and_a_second_one_is_refused(place: Place) -> None:
    first = place.pqfs("up", "-d", "--no-ui", "--consumers", "1")
    assert first.stdout.count("\n") == 3
    assert str(place.root / "spool" / "inbox") in first.stdout

    second = place.pqfs("up", "-d", "--no-ui")

    assert second.returncode == 1
    assert "running already" in second.stderr
    assert place.living() == ["consumer-00", "ingester", "janitor"]


@pytest.mark.parametrize("program", _PROGRAMS)
def test_a_killed_process_is_back_soon_however_often_it_is_killed(place: Place, program: str) -> None:
    place.up()
    for _ in range(3):
        (before,) = (facts for facts in Owners(place.run).living() if facts.program == program)
        os.kill(before.pid, signal.SIGKILL)
        eventually(
            lambda dead=before.pid: any(  # type: ignore[misc]
                facts.program == program and facts.pid != dead for facts in Owners(place.run).living()
            ),
            f"{program} is back", within=5.0,
        )  # fmt: skip
    place.passes_through("after.txt")


def test_after_the_death_of_everything_the_next_up_simply_works(place: Place) -> None:
    place.up()
    supervisord = place.supervisord()
    for pid in [supervisord, *descendants(supervisord)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # a runner that has died with its consumer
    eventually(lambda: not place.living(), "everything is dead")

    place.up()

    assert sorted(place.processes()) == _PROGRAMS
    place.passes_through("again.txt")


def test_after_the_death_of_supervisord_alone_its_children_drain(place: Place) -> None:
    place.up()
    os.kill(place.supervisord(), signal.SIGKILL)
    eventually(lambda: not place.living(), "the children have drained")

    place.up()

    place.passes_through("again.txt")


def test_children_that_were_still_starting_when_supervisord_died_end_too(place: Place) -> None:
    starting = place.spawn("up", "-d", "--no-ui")
    eventually(lambda: (place.run / "supervisord.pid").exists() and descendants(place.supervisord()), "they start")
    children = descendants(supervisord := place.supervisord())
    os.kill(supervisord, signal.SIGKILL)
    starting.kill()
    starting.communicate()

    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "they have ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_stops_everything_with_code_0(place: Place, number: signal.Signals) -> None:
    stack = place.spawn("up", "--no-ui")
    assert stack.stdout
    with stack.stdout as said:
        lines = [said.readline() for _ in range(3)]
        place.passes_through("hello.txt")

        stack.send_signal(number)

        assert stack.wait(_PATIENCE) == 0
    assert "Ctrl-C" in lines[2]
    assert place.living() == []


def test_the_stack_ends_when_the_foreground_command_is_killed(place: Place) -> None:
    stack = place.spawn("up", "--no-ui")
    assert stack.stdout
    with stack.stdout as said:
        _ = [said.readline() for _ in range(3)]
        stack.kill()
        stack.wait()

    eventually(lambda: not place.living(), "everything has ended", _PATIENCE)


def test_ps_shows_the_job_that_runs(place: Place) -> None:
    (place.root / "pqfs.toml").write_text('[defaults.handler]\ncommand = ["sleep", "30"]\n')
    place.up("--consumers", "1")
    (place.root / "spool" / "inbox" / "slow").touch()

    job = eventually(lambda: place.processes()["consumer-00"]["job"], "the job runs")

    shown = json.loads(place.pqfs("jobs", "list", "--json").stdout)["items"]
    assert [each["id"] for each in shown] == [job]
    assert place.pqfs("jobs", "cancel", "-y", job).returncode == 0


def test_plain_supervisord_runs_the_shipped_table(place: Place) -> None:
    shutil.copy(shipped("supervisord.conf"), place.root)
    Spool.create(place.root / "spool")
    (place.root / "logs").mkdir()
    place.environment["PQFS_UI_PORT"] = "8599"
    supervisord = [sys.executable, "-m", "supervisor.supervisord", "-c", "supervisord.conf"]
    subprocess.run(supervisord, cwd=place.root, env=place.environment, check=True, timeout=30)
    eventually(lambda: place.living() == _PROGRAMS, "all run", _PATIENCE)

    place.passes_through("plain.txt")

    assert place.pqfs("down").returncode == 0


def test_the_api_is_started_by_supervisorctl_and_is_back_after_a_kill(place: Place) -> None:
    pytest.importorskip("fastapi")
    port = free_port()
    place.root.joinpath("pqfs.toml").write_text(f"[api]\nport = {port}\n")
    place.up()
    assert "api" not in place.processes()
    control = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(place.run / "supervisord.conf")]
    start = [*control, "start", "pqfs:api"]
    subprocess.run(start, cwd=place.root, env=place.environment, capture_output=True, timeout=60, check=True)

    first = eventually(lambda: enqueued(port, "first"), "a job over HTTP", _PATIENCE)
    before = place.processes()["api"]["pid"]
    assert before in {facts.pid for facts in Owners(place.run).living() if facts.program == "api"}
    os.kill(before, signal.SIGKILL)
    second = eventually(lambda: enqueued(port, "second"), "a job over HTTP again", _PATIENCE)

    assert (comes_out(place, first), comes_out(place, second)) == ("first", "second")


def comes_out(place: Place, job: str | None) -> str:
    """What the job of an id has made of its payload."""
    assert job is not None
    (output,) = eventually(lambda: list(place.outbox.glob(f"*_{job[-12:]}_*")), "it comes out", _PATIENCE)
    return output.read_text().partition("\n")[2]


def enqueued(port: int, text: str) -> str | None:
    """A job over HTTP, the same however often it is asked for; None while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    body = json.dumps({"job_data": text, "key": text})
    try:
        connection.request("POST", "/enqueue/", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        job: str = json.loads(answer.read())["job_id"]
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return job
