"""What a mount can do is found out by trying it, and told in words; nothing of the trial is left."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pqfs import kernel, mounts
from pqfs.checks import Check, Grade
from pqfs.clock import SystemClock
from pqfs.footing import Footing
from pqfs.kernel import Mount
from pqfs.mounting import judge
from pqfs.mounts import Traits
from pqfs.settings import IngestSettings
from tests.shell import Shell
from tests.test_shapes import SHAPES
from tests.world import SettableClock

DISK = Footing("ext4", "inotify", "lease")
SHARE = Footing("nfs4", "polling", "settle")
GOOD = Traits(
    mount=Mount(b"/", "ext4", "/dev/sda", frozenset({"rw"})), moves="rename", links=True, fsync=0.001,
    syncs_directories=True, syncfs=0.002, locks=True, events=True, sees_writers=True, longest_name=255,
    folds_case=False, keeps_names=True, silly_renames=False, skew=-0.004, precision=0.0001,
)  # fmt: skip


def told(traits: Traits = GOOD, footing: Footing = DISK, name: str | None = None) -> list[Check]:
    """The checks, or those of one name."""
    found = list(judge(traits, footing, IngestSettings()))
    return [each for each in found if name in (None, each.name)]


def refusing(code: int) -> Callable[..., Any]:
    """A system call that says this."""

    def refuse(*arguments: object, **named: object) -> Any:
        raise OSError(code, os.strerror(code))

    return refuse


# -------------------------------------------------------------------- probes


def test_on_this_disk_everything_can_be_tried(tmp_path: Path) -> None:
    found = mounts.examine(tmp_path, SystemClock())

    assert (found.moves, found.links, found.locks, found.events) == ("rename", True, True, True)
    assert (found.sees_writers, found.syncs_directories, found.longest_name) == (True, True, 255)
    assert (found.folds_case, found.keeps_names, found.silly_renames) == (False, True, False)
    assert found.skew is not None and abs(found.skew) < 1 + found.precision
    assert list(tmp_path.iterdir()) == []


def test_where_renames_can_not_refuse_a_name_in_use_links_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "rename_at_once", lambda *names: False)

    assert mounts.examine(tmp_path, SystemClock()).moves == "link"


def test_where_there_are_no_links_either_nothing_can_be_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "rename_at_once", lambda *names: False)
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))

    found = mounts.examine(tmp_path, SystemClock())

    assert (found.moves, found.links) == (None, None)
    assert told(replace(GOOD, moves=None), name="renames")[0].grade is Grade.BAD


def test_a_rename_that_overwrites_is_none_that_may_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overwrite(source_dir: int, source: bytes, target_dir: int, target: bytes) -> bool:
        os.replace(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
        return True

    monkeypatch.setattr(kernel, "rename_at_once", overwrite)

    assert mounts.examine(tmp_path, SystemClock()).moves is None


@pytest.mark.parametrize(
    ("place", "call", "question"),
    [
        (fcntl, "flock", "locks"),
        (os, "fsync", "fsync"),
        (kernel, "syncfs", "syncfs"),
        (kernel, "notice_arrivals", "events"),
        (kernel, "is_open_for_writing", "sees_writers"),
    ],
)
def test_what_is_refused_stays_an_open_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, call: str, question: str
) -> None:
    monkeypatch.setattr(place, call, refusing(errno.ENOLCK))

    assert getattr(mounts.examine(tmp_path, SystemClock()), question) is None


def test_a_lock_that_excludes_nobody_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, how: None)

    assert mounts.examine(tmp_path, SystemClock()).locks is False


def test_the_file_systems_clock_is_held_against_ours(tmp_path: Path) -> None:
    clock = SettableClock(SystemClock().now() - 3600)

    found = mounts.examine(tmp_path, clock)

    assert found.skew == pytest.approx(3600, abs=60)
    assert "s ahead of this host's clock" in told(replace(GOOD, skew=found.skew), name="file times")[0].sentence


# -------------------------------------------------------------------- judgement


def test_of_a_good_disk_nothing_is_said_but_good() -> None:
    assert {each.grade for each in told()} == {Grade.OK}


def test_a_share_is_usable_and_what_is_different_is_told() -> None:
    found = told(replace(GOOD, mount=Mount(b"/", "nfs4", "nas:/x", frozenset({"hard", "noac"})), moves="link"), SHARE)

    assert Grade.BAD not in {each.grade for each in found}
    said = {each.name: each.sentence for each in found}
    assert "polled every 1s" in said["file system"]
    assert "SQLite is refused" in said["sqlite here"]
    assert "link and unlink" in said["renames"]
    assert "arrivals alone" in said["inotify"]
    assert "other hosts may write" in said["leases"]


@pytest.mark.parametrize(
    ("changed", "name", "grade", "said"),
    [
        ({"links": None}, "hard links", "warn", "none"),
        ({"fsync": None}, "syncs", "bad", "can not be made durable"),
        ({"syncs_directories": None}, "syncs", "bad", "can not be made durable"),
        ({"syncfs": None}, "syncs", "ok", "no syncfs"),
        ({"fsync": 0.9}, "syncs", "warn", "900 ms"),
        ({"locks": False}, "locks", "warn", "run/ must lie"),
        ({"locks": None}, "locks", "warn", "run/ must lie"),
        ({"events": False}, "inotify", "warn", "swept every 5s"),
        ({"sees_writers": False}, "leases", "warn", "does not see"),
        ({"sees_writers": None}, "leases", "warn", "must settle"),
        ({"longest_name": 143}, "names", "bad", "143"),
        ({"longest_name": None}, "names", "bad", "at most 0"),
        ({"folds_case": True}, "names", "warn", "Capitals"),
        ({"keeps_names": False}, "names", "warn", "accents"),
        ({"silly_renames": True}, "removal", "ok", "hidden name"),
        ({"skew": 7.5}, "file times", "warn", "NTP"),
        ({"skew": 7.5, "precision": 8.0}, "file times", "ok", "7.500 s ahead"),
        ({"skew": None}, "file times", "warn", "could not be asked"),
    ],
)
def test_each_answer_has_its_words(changed: dict[str, Any], name: str, grade: str, said: str) -> None:
    check = told(replace(GOOD, **changed), name=name)[0]

    assert check.grade == grade
    assert said in check.sentence


@pytest.mark.parametrize(
    ("options", "grade"),
    [({"soft"}, "bad"), ({"hard"}, "warn"), ({"hard", "lookupcache=positive"}, None), ({"hard", "noac"}, None)],
)
def test_what_nfs_is_mounted_with_is_judged(options: set[str], grade: str | None) -> None:
    found = told(replace(GOOD, mount=Mount(b"/", "nfs4", "nas:/x", frozenset(options))), SHARE, "mount options")

    assert [each.grade for each in found] == ([grade] if grade else [])


@pytest.mark.parametrize(("instances", "watches", "grade"), [(128, 8192, "ok"), (4, 8192, "warn"), (128, 8, "warn")])
def test_few_inotify_watches_are_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, instances: int, watches: int, grade: str
) -> None:
    (tmp_path / "max_user_instances").write_text(f"{instances}\n")
    (tmp_path / "max_user_watches").write_text(f"{watches}\n")
    monkeypatch.setattr("pqfs.mounting.Path", lambda path: tmp_path / "max_user_instances")

    assert told(name="inotify")[0].grade == grade


def test_memory_is_told() -> None:
    found = told(footing=Footing("tmpfs", "inotify", "lease"), name="file system")

    assert [each.grade for each in found] == [Grade.OK, Grade.WARN]


# -------------------------------------------------------------------- the command


def test_a_mount_is_examined_by_a_command(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "file_system", lambda path: "nfs4")

    assert shell("doctor", "--mount", tmp_path) == 0
    assert "nfs4: the inbox is polled every 1s" in shell.out
    found = shell.json("doctor", "--mount")

    assert (found["schema"], found["directory"]) == ("pqfs.mount/1", str(shell.spool))
    assert (found["file_system"], found["watch"], found["complete"]) == ("nfs4", "polling", "settle")
    assert {each["name"] for each in found["items"]} >= {"renames", "locks", "leases", "names", "file times"}
    assert {frozenset(each) for each in found["items"]} == {frozenset(SHAPES["pqfs.mount/1"])}


def test_a_directory_without_the_word_mount_and_one_that_is_not_there_are_refused(shell: Shell) -> None:
    assert shell("doctor", "/tmp") == 2
    assert "--mount DIR" in shell.err
    assert shell("doctor", "--mount", "/no/such") == 1
    assert "can not be examined" in shell.err
