"""Every check of the doctor can say that all is well, and that it is not."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from pqfs import kernel
from pqfs.checks import Check, Grade
from pqfs.clock import SystemClock
from pqfs.doctor import examine
from pqfs.errors import Misconfigured
from pqfs.handlers import confinement
from pqfs.handlersettings import CommandHandler, HandlerSpec, PythonHandler
from pqfs.index import Index
from pqfs.pulse import Pulse
from pqfs.runnerlink import check_confinement
from pqfs.settings import Loaded, QueueSettings, Settings
from pqfs.spool import Spool
from tests.world import SettableClock


def examined(settings: Settings, config: Path | None = None) -> dict[str, list[Check]]:
    """Every check by its name."""
    found: dict[str, list[Check]] = {}
    for check in examine(Loaded(settings, {}, config)):
        found.setdefault(check.name, []).append(check)
    return found


def grades(settings: Settings, name: str) -> list[Grade]:
    """How one check came out."""
    return [check.grade for check in examined(settings)[name]]


@pytest.fixture
def whole(settings: Settings, index: Index) -> Settings:
    """A spool with an index."""
    return settings


@pytest.mark.sqlite
def test_a_whole_spool_is_well(whole: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "file_system", lambda path: "ext4")

    bad = [check for checks in examined(whole).values() for check in checks if check.grade is not Grade.OK]

    assert bad == []


def test_examining_changes_nothing(whole: Settings) -> None:
    before = sorted(str(path) for path in whole.spool.rglob("*"))

    examined(whole)

    assert sorted(str(path) for path in whole.spool.rglob("*")) == before


def test_a_library_that_corrupts_an_index_is_bad(whole: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pqfs.index.sqlite.library_version", lambda: (3, 45, 1))

    assert grades(whole, "sqlite") == [Grade.BAD]


def test_a_missing_directory_is_bad_and_is_named(whole: Settings) -> None:
    (whole.spool / "dead").rmdir()

    (check,) = examined(whole)["tree"]

    assert check.grade is Grade.BAD
    assert str(whole.spool / "dead") in check.sentence


def test_what_the_spool_lies_on_is_examined_and_nothing_is_left(whole: Settings) -> None:
    found = examined(whole)

    assert {"file system", "renames", "hard links", "syncs", "locks", "inotify", "leases", "names"} <= set(found)
    assert found["renames"][0].sentence.startswith("Moves never overwrite")
    assert [path.name for path in whole.spool.iterdir() if path.name.startswith(".pqfs")] == []


def test_a_directory_that_may_not_be_written_is_bad_and_is_named(
    whole: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "outbox" and access(path, mode))

    (check,) = examined(whole)["permissions"]

    assert check.grade is Grade.BAD
    assert "outbox" in check.sentence


@pytest.mark.parametrize(
    ("name", "mode"), [("run", 0o755), pytest.param("index.db", 0o644, marks=pytest.mark.sqlite)]
)
def test_what_others_could_open_is_a_warning(whole: Settings, name: str, mode: int) -> None:
    (whole.spool / name).chmod(mode)

    assert grades(whole, "permissions") == [Grade.WARN, Grade.OK]


def test_a_disk_below_low_water_is_bad(whole: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "is_below", lambda spool, low_water: True)

    assert grades(whole, "disk") == [Grade.BAD]


def test_an_index_that_is_not_there_yet_is_a_warning(settings: Settings, spool: Spool) -> None:
    assert grades(settings, "index") == [Grade.WARN]
    assert not (spool.root / "index.db").exists()


def test_a_damaged_index_is_bad(settings: Settings, spool: Spool) -> None:
    (spool.root / "index.db").write_bytes(b"this is no database" * 1000)

    assert grades(settings, "index") == [Grade.BAD]


def test_a_path_too_long_for_a_socket_is_bad(settings: Settings, tmp_path: Path) -> None:
    long = replace(settings, spool=tmp_path / ("x" * 100))
    Spool.create(long.spool)

    assert grades(long, "socket") == [Grade.BAD]
    assert grades(replace(settings, spool=Path("/s")), "socket") == [Grade.OK]


def test_a_clock_that_was_never_set_is_bad(whole: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "now", lambda clock: 86400.0)

    assert grades(whole, "clock") == [Grade.BAD]


def test_what_each_process_has_measured_of_its_barriers_is_told(whole: Settings, clock: SettableClock) -> None:
    assert examined(whole)["barriers"][0].sentence == "Not measured yet: nothing has been made durable."
    pulse = Pulse(whole.spool / "run", "consumer-00", "consumer-00.1.0", "boot", clock)
    pulse.note(barriers={"fsync": 0.71, "syncfs of 3": 12.4})
    pulse.beat()

    assert examined(whole)["barriers"][0].sentence == "consumer-00: fsync 0.71 ms, syncfs of 3 12 ms"


def test_what_relaxed_durability_risks_is_a_warning(whole: Settings) -> None:
    relaxed = replace(whole, durability="relaxed")

    assert grades(relaxed, "barriers") == [Grade.WARN]


def test_an_environment_without_supervisor_is_bad(whole: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    assert grades(whole, "supervisor") == [Grade.BAD]


@pytest.mark.parametrize(
    ("handler", "grade", "said"),
    [
        ("timestamp", "ok", "timestamp"),
        (CommandHandler(command=("true",)), "ok", "true"),
        (CommandHandler(command=("no-such-program",)), "bad", "no-such-program"),
        (PythonHandler(python="handlers_of_doctor:upper"), "ok", "handlers_of_doctor:upper"),
        (PythonHandler(python="handlers_of_doctor:lower"), "bad", "lower"),
        (PythonHandler(python="no_such_module:x"), "bad", "no_such_module"),
        (PythonHandler(python="broken_handlers_of_doctor:x"), "bad", "SyntaxError"),
        (CommandHandler(command=("/etc/passwd",)), "bad", "can not be executed"),
        (CommandHandler(command=("./beside.sh",)), "ok", "beside.sh"),
        (CommandHandler(command=("./nowhere.sh",)), "bad", "./nowhere.sh"),
        (CommandHandler(command=("true",), confine="landlock", write=(Path("/no/such"),)), "warn", "/no/such"),
    ],
)
def test_a_handler_is_looked_for_before_the_first_job_needs_it(
    whole: Settings, tmp_path: Path, handler: HandlerSpec, grade: str, said: str
) -> None:
    (tmp_path / "handlers_of_doctor.py").write_text("def upper(context): pass\n")
    (tmp_path / "broken_handlers_of_doctor.py").write_text("def upper(:\n")
    settings = replace(whole, queues={"mail": QueueSettings(handler=handler)})

    (tmp_path / "beside.sh").write_text("#!/bin/sh\n")
    (tmp_path / "beside.sh").chmod(0o755)
    (check,) = examined(settings, tmp_path / "pqfs.toml")["handler of mail"]

    assert check.grade == grade
    assert said in check.sentence


def test_where_there_is_no_spool_each_check_says_so_and_none_breaks_off(settings: Settings) -> None:
    found = examined(settings)

    assert {"tree", "file system", "permissions", "disk", "clock", "supervisor"} <= set(found)
    assert [check.grade for check in found["tree"]] == [Grade.BAD]
    assert "pqfs init" in found["tree"][0].sentence


@pytest.mark.parametrize(("how", "missing"), [("landlock", "no Landlock"), ("bubblewrap", "bwrap) is not installed")])
def test_a_program_that_can_not_be_confined_as_asked_is_bad_and_nothing_starts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, how: Literal["landlock", "bubblewrap"], missing: str
) -> None:
    monkeypatch.setattr(confinement, "landlock_version", lambda: 0)
    monkeypatch.setattr(confinement, "_BUBBLEWRAP", "no-such-bwrap")
    queue = QueueSettings(handler=CommandHandler(command=("true",), confine=how))
    confined = replace(settings, queues={"mail": queue})

    (check,) = examined(confined)["handler of mail"]

    assert check.grade is Grade.BAD
    assert missing in check.sentence
    assert grades(confined, "containment") == [Grade.WARN]
    with pytest.raises(Misconfigured, match=f"mail: confine = '{how}' is not possible"):
        check_confinement(confined)
