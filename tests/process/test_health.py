"""Each alarm made true by the real thing, seen by `pqfs status --check`, and over when its cause is gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from pqfs.clock import SystemClock, day
from pqfs.health import NOT_RUNNING
from pqfs.model import State
from pqfs.stack.shipped import shipped
from pqfs.stack.supervisor import Supervisor
from tests.process.conftest import MakeStage
from tests.process.stage import Stage, eventually

pytestmark = pytest.mark.slow
# Alarms within seconds; everything else as it is.
EAGER = (
    '[ingest]\nsweep_every = "0.5s"\n[consume]\npoll_every = "0.2s"\n'
    '[health]\npatience = "2s"\nbacklog = "1s"\ninbox = "1s"\nunconfirmed = "1s"\nlog = "65MiB"\n'
)
_PATIENCE = 60.0


def check(root: Path) -> tuple[int, dict[str, str]]:
    """What `pqfs status --check` leaves with, and the alarms that hold: name -> sentence."""
    command = [sys.executable, "-m", "pqfs", "status", "--check", "--json"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PQFS_")}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    return done.returncode, {each["name"]: each["sentence"] for each in json.loads(done.stdout)["alarms"]}


def alarmed(root: Path, name: str) -> str:
    """Wait for an alarm; its sentence."""

    def look() -> str | None:
        code, found = check(root)
        # The processes that were just started may not have said that they are alive.
        assert code == (5 if found.keys() == {NOT_RUNNING} else 6 if found else 0)
        return found.get(name)

    return eventually(look, f"the alarm {name}", _PATIENCE) or ""


def well(root: Path) -> None:
    """Wait until no alarm holds."""
    eventually(lambda: check(root) == (0, {}), "all is well", _PATIENCE)


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    stage = make_stage(EAGER)
    stage.start("janitor")
    return stage


def _whole(stage: Stage) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """The rest of the processes: ingester and consumer."""
    found = stage.start("ingest", "ingester"), stage.consumer()
    well(stage.root)
    return found


def test_a_stopped_janitor_and_a_stopped_ingester(make_stage: MakeStage) -> None:
    stage = make_stage(EAGER)
    janitor = stage.start("janitor")
    ingester, _ = _whole(stage)
    for process in (janitor, ingester):
        process.send_signal(signal.SIGSTOP)

    assert "not swept" in alarmed(stage.root, "ingester-blind")
    assert "not looked after the spool" in alarmed(stage.root, "janitor-overdue")

    for process in (janitor, ingester):
        process.send_signal(signal.SIGCONT)
    well(stage.root)


def test_an_ingester_that_was_killed_and_does_not_come_back(stage: Stage) -> None:
    ingester, _ = _whole(stage)
    ingester.kill()

    assert "No ingester has been alive" in alarmed(stage.root, "ingester-missing")
    eventually(lambda: " alarm rule=ingester-missing" in stage.log("janitor"), "the janitor says so")

    stage.start("ingest", "ingester")
    well(stage.root)
    eventually(
        lambda: " alarm-over rule=ingester-missing" in stage.log("janitor"), "the janitor says that it is over"
    )
    assert stage.log("janitor").count(" alarm rule=ingester-missing") == 1


def test_an_inbox_whose_directory_was_exchanged(make_stage: MakeStage) -> None:
    stage = make_stage(EAGER.replace('patience = "2s"', 'patience = "8s"'))
    stage.start("janitor")
    _whole(stage)
    (stage.spool / "inbox").rename(stage.root / "elsewhere")
    (stage.spool / "inbox").mkdir()

    assert "the directory was exchanged" in alarmed(stage.root, "ingester-blind")

    well(stage.root)
    stage.drop("after")
    eventually(lambda: stage.jobs(State.COMPLETED), "work goes on")


def test_a_file_that_its_writer_does_not_close(stage: Stage) -> None:
    _whole(stage)
    with (stage.spool / "inbox" / "slow.bin").open("wb"):
        said = alarmed(stage.root, "inbox-waiting")
        assert "inbox/slow.bin" in said
        assert "somebody is still writing it" in said

    well(stage.root)


def test_a_backlog_without_a_consumer(stage: Stage) -> None:
    stage.start("ingest", "ingester")
    stage.drop("a")

    assert "no living consumer" in alarmed(stage.root, "no-consumer")

    stage.consumer()
    well(stage.root)


@contextmanager
def _connection(stage: Stage) -> Iterator[apsw.Connection]:
    """A connection of our own, as somebody with a shell has one."""
    connection = apsw.Connection(str(stage.spool / "index.db"))
    yield connection
    connection.close()


def test_a_job_that_nobody_can_claim_because_the_index_is_locked(stage: Stage) -> None:
    _, consumer = _whole(stage)
    consumer.send_signal(signal.SIGSTOP)
    stage.drop("a")
    eventually(stage.jobs, "it is ingested")
    with _connection(stage) as connection:
        connection.execute("BEGIN IMMEDIATE")
        consumer.send_signal(signal.SIGCONT)

        assert "consumers are free" in alarmed(stage.root, "backlog-stuck")

        connection.execute("ROLLBACK")
    well(stage.root)


def test_a_reader_that_does_not_end(stage: Stage) -> None:
    _whole(stage)
    with _connection(stage) as reader, _connection(stage) as writer:
        reader.execute("BEGIN")
        list(reader.execute("SELECT count(*) FROM jobs"))
        writer.execute("CREATE TABLE filler (data) ")
        writer.execute("""WITH RECURSIVE series(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM series WHERE n < 70)
               INSERT INTO filler SELECT randomblob(1000000) FROM series""")

        assert "has grown to" in alarmed(stage.root, "log-growing")

        reader.execute("ROLLBACK")
        writer.execute("DROP TABLE filler")
    for number in range(3):  # any work moves the log into the database and begins it anew
        stage.drop(f"after{number}")
        eventually(lambda wanted=number: len(stage.jobs(State.COMPLETED)) > wanted, "work goes on")  # type: ignore[misc]
    well(stage.root)


def test_payloads_that_can_not_be_moved(stage: Stage) -> None:
    _whole(stage)
    days = [stage.spool / "done" / day(SystemClock().now() + later) for later in (0, 86400)]
    for each in days:
        each.write_bytes(b"not a directory")
    stage.drop("a")

    assert "on their way" in alarmed(stage.root, "rows-unconfirmed")

    for each in days:
        each.unlink()
    well(stage.root)


@pytest.mark.root
def test_a_full_disk_and_one_that_can_hold_no_more_files(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,nr_inodes=1500", "pqfs-test", disk], check=True)
    stage = Stage(disk, EAGER)
    try:
        stage.start("janitor")
        _whole(stage)
        with (disk / "filler").open("wb") as filler:
            left = os.statvfs(disk).f_bavail * 4096
            filler.truncate(left - 500_000)
            os.posix_fallocate(filler.fileno(), 0, left - 500_000)
        assert "work pauses" in alarmed(disk, "disk-low")
        (disk / "filler").unlink()
        well(disk)

        for number in range(os.statvfs(disk).f_favail - 70):
            (disk / f"{number}").touch()
        assert "more files" in alarmed(disk, "inodes-low")
        for path in disk.iterdir():
            if path.name.isdigit():
                path.unlink()
        well(disk)
        stage.close()
    finally:
        stage.abandon()
        subprocess.run(["umount", disk], check=True)


# -------------------------------------------------------------------- a whole stack


@pytest.fixture
def root() -> Iterator[Path]:
    """A short path, because a unix socket's path has at most 107 bytes."""
    found = Path(tempfile.mkdtemp(prefix="pq-"))
    yield found
    if (found / "spool" / "run" / "supervisor.sock").exists():
        _pqfs(found, "down")
    shutil.rmtree(found)


def _pqfs(root: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pqfs", *arguments]
    subprocess.run(command, cwd=root, capture_output=True, timeout=90, check=True)


def test_a_program_that_can_not_be_started(root: Path) -> None:
    table = shipped("supervisord.conf").read_text()
    table = table.replace("command=pqfs ui", f"command={root}/console")
    table = table.replace("startsecs=3\nstartretries=1000000", "startsecs=0\nstartretries=0")
    (root / "supervisord.conf").write_text(table)
    _pqfs(root, "init")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", "supervisord.conf"]
    subprocess.run(command, cwd=root, env={**os.environ, "PATH": path}, check=True, timeout=30)

    said = alarmed(root, "program-fatal")
    assert "ui" in said
    assert "console" in said

    (root / "console").write_text("#!/bin/sh\nexec sleep 1000\n")
    (root / "console").chmod(0o755)
    supervisor = Supervisor(root / "spool" / "run" / "supervisor.sock")
    supervisor.start(next(each for each in supervisor.processes() if each.name == "ui"))
    well(root)


def test_a_stack_that_starts_works_and_rests_raises_no_alarm(root: Path) -> None:
    (root / "pqfs.toml").write_text('[queues.long]\nhandler = { command = ["sleep", "8"], stdout = "output" }\n')
    inbox, outbox = root / "spool" / "inbox", root / "spool" / "outbox"
    _pqfs(root, "init")
    assert check(root) == (5, {"not-running": "pqfs is not running on this spool."})
    (inbox / "long" / "job").touch()
    (inbox / "old").touch()
    up = subprocess.Popen([sys.executable, "-m", "pqfs", "up", "-d", "--no-ui"], cwd=root, stdout=subprocess.DEVNULL)
    while up.poll() is None:
        assert check(root)[0] in (0, 5)
    for number in range(800):
        (inbox / f"file{number}").write_bytes(b"x" * 1000)
    _pqfs(root, "submit", str(root / "pqfs.toml"), "--delay", "1h")
    while len(list(outbox.iterdir())) < 802:
        assert check(root) == (0, {})
    eventually(lambda: list((outbox / "long").iterdir()), "the long job ends")
    assert check(root) == (0, {})

    _pqfs(root, "down")

    assert check(root)[0] == 5
    assert "alarm" not in (root / "logs" / "janitor.log").read_text()
