"""The stack without its processes: what is rendered, refused and shown. tests/process has the real ones."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from pqfs import cli
from pqfs.cli.stack import announce
from pqfs.errors import Refused
from pqfs.handlersettings import CommandHandler
from pqfs.owners import OwnerLock
from pqfs.settings import Loaded, QueueSettings, Settings
from pqfs.slot import Slot
from pqfs.spool import Spool
from pqfs.stack.configuration import SLOTS, Instance, render
from pqfs.stack.lasting import refuse_vanished, remember
from pqfs.stack.logs import follow, last_lines, log_files
from pqfs.stack.presence import UNSUPERVISED, processes
from pqfs.stack.starting import Stack
from pqfs.stack.supervisor import Supervisor
from pqfs.stack.unit import unit
from tests.world import SettableClock


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory with a path short enough for a unix socket."""
    path = Path(tempfile.mkdtemp(prefix="pq-"))
    yield path
    shutil.rmtree(path)


_JOB = "01900000-0000-7000-8000-000000000001"


def _instance(root: Path, with_ui: bool = True, demo: bool = False, consumers: int = 2, **more: Any) -> Instance:
    settings = Settings(spool=root / "spool", logs=root / "logs", consumers=consumers, ui_port=8765)
    settings.logs.mkdir(parents=True, exist_ok=True)
    Spool.create(settings.spool)
    return Instance(Loaded(settings, {}, None), root, with_ui=with_ui, demo=demo, **more)


def _read_by_supervisor(instance: Instance) -> dict[str, Any]:
    """The table as supervisor itself reads it: process name -> its configuration."""
    instance.table.write_text(render(instance))
    options = ServerOptions()
    options.realize(["-c", str(instance.table)])
    return {each.name: each for group in options.process_group_configs for each in group.process_configs}


# ---------------------------------------------------------------- the table


def test_each_consumer_slot_has_a_name_of_its_own_and_only_those_asked_for_start(short_path: Path) -> None:
    found = _read_by_supervisor(_instance(short_path, consumers=3))

    slots = {name: each.autostart for name, each in found.items() if name.startswith("consumer")}
    assert sorted(slots) == [f"consumer-{number:02d}" for number in range(SLOTS)]
    assert sorted(name for name, starts in slots.items() if starts) == ["consumer-00", "consumer-01", "consumer-02"]


@pytest.mark.parametrize("consumers", [0, SLOTS])
def test_no_consumer_and_every_consumer_can_be_asked_for(short_path: Path, consumers: int) -> None:
    found = _read_by_supervisor(_instance(short_path, consumers=consumers))

    assert sum(each.autostart for name, each in found.items() if name.startswith("consumer")) == consumers
    assert len(found) == SLOTS + 6


@pytest.mark.parametrize("name", ["a b", "100%", "50%40 $HOME, x='y'", "ünï", "a;b#c"])
def test_any_path_reaches_the_processes_unchanged(short_path: Path, name: str) -> None:
    root = short_path / name
    found = _read_by_supervisor(_instance(root))["ingester"]

    assert found.environment["PQFS_SPOOL"] == str(root / "spool")
    assert found.environment["PQFS_LOGS"] == str(root / "logs")
    assert found.stdout_logfile == str(root / "logs" / "ingester.log")
    assert found.directory == str(root)


def test_the_courier_starts_where_somebody_wants_to_hear(short_path: Path) -> None:
    assert not _read_by_supervisor(_instance(short_path))["courier"].autostart
    assert _read_by_supervisor(_instance(short_path, with_courier=True))["courier"].autostart
    assert "courier" in _instance(short_path, with_courier=True).programs()


def test_processes_find_the_programs_of_this_python_first(short_path: Path) -> None:
    found = _read_by_supervisor(_instance(short_path))["janitor"]

    assert shutil.which("pqfs", path=found.environment["PATH"].split(os.pathsep)[0])


def test_the_console_and_the_demo_run_when_they_are_asked_for(short_path: Path) -> None:
    assert "ui" not in _read_by_supervisor(_instance(short_path, with_ui=False))
    assert _read_by_supervisor(_instance(short_path))["ui"].autostart
    assert not _read_by_supervisor(_instance(short_path))["produce"].autostart
    assert _read_by_supervisor(_instance(short_path, demo=True))["produce"].autostart


def test_a_process_that_dies_is_always_started_again_and_has_time_to_drain(short_path: Path) -> None:
    for name, each in _read_by_supervisor(_instance(short_path)).items():
        assert each.autorestart.__name__ == "RestartUnconditionally", name
        assert each.startretries >= 1000
        assert each.killasgroup and not each.stopasgroup
        assert each.stopwaitsecs == (10 if name in ("ui", "produce") else 60)


def test_every_process_has_a_log_of_its_own_that_is_rotated(short_path: Path) -> None:
    found = _read_by_supervisor(_instance(short_path)).values()

    assert len({each.stdout_logfile for each in found}) == len(found)
    assert all(
        each.redirect_stderr and each.stdout_logfile_maxbytes * each.stdout_logfile_backups > 0 for each in found
    )


# ---------------------------------------------------------------- refusals


def _up(root: Path, *flags: str) -> int:
    return cli.run(["--spool", str(root / "spool"), "--logs", str(root / "logs"), "up", "-d", *flags])


def test_a_spool_path_too_long_for_a_socket_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / ("x" * 100)

    assert _up(root, "--no-ui") == 2
    assert "bytes too long" in capsys.readouterr().err
    assert not root.exists()


@pytest.mark.parametrize("name", ["a #b", "a ;b", "%(here)s", "line\nend", '"'])
def test_a_path_that_supervisor_would_misread_is_refused(
    short_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert _up(short_path / name, "--no-ui") == 2
    assert "supervisor can not be told the path" in capsys.readouterr().err


def test_a_taken_port_is_refused_before_anything_is_made(
    short_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pqfs.stack.starting._PORT_PATIENCE", 0.0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert _up(short_path, "--ui-port", str(port)) == 2

    assert f"Port {port}" in capsys.readouterr().err
    assert list(short_path.iterdir()) == []


def test_a_second_up_on_the_same_spool_is_refused(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Spool.create(short_path / "spool")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(short_path / "spool" / "run" / "supervisor.sock"))
        listening.listen()

        assert _up(short_path, "--no-ui") == 1

    said = capsys.readouterr().err
    assert "running already" in said
    assert "pqfs down" in said


def test_a_spool_that_can_not_be_made_is_refused(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (short_path / "spool").write_text("a file")

    assert _up(short_path, "--no-ui") == 2
    assert "can not be made" in capsys.readouterr().err


def test_where_a_spool_has_lain_no_new_one_is_begun_unless_that_is_wanted(
    short_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = _instance(short_path).settings
    remember(settings)
    settings.spool.rename(short_path / "volume")
    settings.spool.mkdir()  # the mount point, without its volume

    assert _up(short_path, "--no-ui") == 1
    assert "Is its volume mounted?" in capsys.readouterr().err
    assert list(settings.spool.iterdir()) == []

    settings.spool.rmdir()
    (short_path / "volume").rename(settings.spool)
    refuse_vanished(settings)

    elsewhere = replace(settings, spool=short_path / "elsewhere")
    refuse_vanished(elsewhere)


@pytest.mark.parametrize("command", ["down", "ps"])
def test_what_needs_a_running_stack_says_that_there_is_none(
    short_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert cli.run(["--spool", str(short_path / "spool"), command]) == 5
    assert "not running" in capsys.readouterr().err


# ---------------------------------------------------------------- ps


def test_ps_shows_what_runs_without_a_supervisor_and_the_job_it_runs(short_path: Path, clock: SettableClock) -> None:
    run = _instance(short_path).run
    lock = OwnerLock(run, "consumer-00", "boot", clock.now())
    slot, descriptor = Slot.create(run / f"{lock.name}.slot")
    os.close(descriptor)
    slot.begin(_JOB, 4, clock.boottime())
    clock.pass_by(7)

    (row,) = processes(run, Supervisor(run / "supervisor.sock"), clock)
    lock.release()

    assert (row.program, row.state, row.pid, row.owner) == ("consumer-00", UNSUPERVISED, os.getpid(), lock.name)
    assert (row.job, row.attempt) == (_JOB, 4)
    assert row.uptime == pytest.approx(7)
    assert row.running_for == pytest.approx(7)


def test_who_may_not_enter_the_spool_is_told_so_instead_of_what_runs(
    short_path: Path, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    run = _instance(short_path).run
    monkeypatch.setattr(Path, "iterdir", refuse)

    with pytest.raises(Refused, match=f"This user may not enter {run}"):
        processes(run, Supervisor(run / "supervisor.sock"), clock)


# ---------------------------------------------------------------- logs


def test_who_may_not_read_the_logs_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *more: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    log = tmp_path / "janitor.log"
    log.touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(Refused, match=f"This user may not read {log}"):
        last_lines(log, 1)
    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(Refused, match=f"This user may not enter {tmp_path}"):
        log_files(tmp_path, [])


def test_the_last_lines_of_a_log_are_found_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "ingester.log"
    log.write_text("".join(f"line {number}\n" for number in range(50_000)))

    assert last_lines(log, 2) == ["line 49998", "line 49999"]
    assert last_lines(log, 0) == []
    assert len(last_lines(log, 100_000)) == 50_000


def test_a_program_stands_for_all_its_processes(tmp_path: Path) -> None:
    for name in ("consumer-00", "consumer-01", "consumer-spare-x", "janitor"):
        (tmp_path / f"{name}.log").touch()

    assert [path.stem for path in log_files(tmp_path, ["consumer"])] == ["consumer-00", "consumer-01"]
    assert [path.stem for path in log_files(tmp_path, ["consumer-01"])] == ["consumer-01"]


def test_following_a_log_misses_no_line_when_it_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "janitor.log"
    log.write_text("old\n")
    with closing(follow(tmp_path, ["janitor"])) as lines, log.open("a") as writer:
        writer.write("before\n")
        writer.flush()
        seen = [next(lines)]
        log.rename(tmp_path / "janitor.log.1")
        writer.write("last of the old\n")
        writer.flush()
        log.write_text("after\n")
        seen += [next(lines), next(lines)]

    assert [line for _, line in seen] == ["before", "last of the old", "after"]


# ---------------------------------------------------------------- systemd


def test_the_unit_names_everything_by_absolute_paths(tmp_path: Path) -> None:
    instance = _instance(tmp_path / "50% off")
    text = unit(instance, ["--consumers", "4"])

    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    assert command.startswith("ExecStart=/")
    assert command.endswith("up --consumers 4")
    assert f'"{tmp_path}/50%% off/spool"' in command
    assert f"WorkingDirectory={tmp_path}/50%% off" in text


def test_who_starts_pqfs_learns_at_once_of_a_program_that_is_not_there(
    short_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise every file of a full inbox becomes a dead letter before anybody looks."""
    instance = _instance(short_path, with_ui=False)
    handlers = {name: QueueSettings(handler=CommandHandler(command=(name,))) for name in ("true", "no-such-program")}
    settings = replace(instance.settings, queues={"fit": handlers["true"], "unfit": handlers["no-such-program"]})

    announce(Stack(replace(instance, loaded=Loaded(settings, {}, None))), "pqfs down")

    said = capsys.readouterr()
    assert f"Drop files:  {settings.spool}/inbox" in said.out
    assert said.err == (
        "Queue unfit: The command no-such-program is not found in PATH."
        " Its jobs fail as long as that is so: pqfs doctor\n"
    )
