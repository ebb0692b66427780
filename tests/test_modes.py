"""Who may do what in a spool: set, compared, and true for real users of other groups."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.checks import Grade
from pqfs.cli import run
from pqfs.doctor import examine
from pqfs.errors import Misconfigured
from pqfs.modes import Rule, differences, mend, rules
from pqfs.places import DIRECTORIES
from pqfs.settings import Loaded, QueueSettings, Settings
from pqfs.spool import Spool

GROUP = grp.getgrgid(os.getegid()).gr_name  # one that this user may give files to


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def shared(settings: Settings) -> Settings:
    """A spool with a producers' group and a readers' group."""
    Spool.create(settings.spool)
    settings.logs.mkdir()
    return replace(settings, producers=GROUP, readers=GROUP, queues={"mail": QueueSettings()})


def test_every_directory_of_a_spool_has_a_rule(settings: Settings) -> None:
    assert {rule.path for rule in rules(settings)} >= {*DIRECTORIES, ".", "index.db", "index.db-wal", "index.db-shm"}
    assert all(rule.why for rule in rules(settings))


def test_the_contract_prints_the_table(settings: Settings) -> None:
    contract = (Path(__file__).parents[1] / "spool" / "README.md").read_text()
    alone, together = ({rule.path: rule for rule in rules(each)} for each in (
        settings, replace(settings, producers=GROUP, readers=GROUP)
    ))  # fmt: skip

    def row(path: str) -> str:
        first, second = alone[path], together[path]
        return f"| `{path}` | {first.mode:04o} | {second.mode:04o} |"

    assert [row(path) for path in alone if row(path) not in contract] == []


def test_a_fresh_spool_is_closed_to_others(settings: Settings) -> None:
    before = os.umask(0)
    try:
        Spool.create(settings.spool)
    finally:
        os.umask(before)

    assert all(not mode(settings.spool / name) & 0o027 for name in (".", *DIRECTORIES))


def test_what_is_looser_than_its_rule_is_told_and_mended_and_what_is_tighter_stays(settings: Settings) -> None:
    """As git lays an empty tree: 0755 throughout."""
    Spool.create(settings.spool)
    for name in (".", *DIRECTORIES):
        (settings.spool / name).chmod(0o755)
    (settings.spool / "dead").chmod(0o700)
    (settings.spool / "index.db").touch(mode=0o644)

    found = {each.path.name: each for each in differences(settings)}
    assert set(found) == {"spool", *DIRECTORIES, "index.db"} - {"dead"}
    assert found["ready"].command == f"chmod 0750 {settings.spool}/ready"

    assert len(mend(settings)) == len(found)
    assert list(differences(settings)) == []
    assert (mode(settings.spool / "ready"), mode(settings.spool / "run")) == (0o750, 0o700)
    assert (mode(settings.spool / "dead"), mode(settings.spool / "index.db")) == (0o700, 0o600)


def test_producers_get_an_inbox_that_they_can_not_list_and_readers_an_outbox(shared: Settings) -> None:
    (shared.spool / "inbox" / "mail").mkdir()
    mend(shared)

    assert (mode(shared.spool / "inbox"), mode(shared.spool / "inbox" / "mail")) == (0o3730, 0o3730)
    assert (mode(shared.spool / "outbox"), mode(shared.spool / "work")) == (0o750, 0o2700)
    assert mode(shared.spool) == 0o751
    assert list(differences(shared)) == []


def test_an_inbox_that_was_opened_by_init_stays_open_without_the_setting(shared: Settings) -> None:
    mend(shared)
    forgetful = replace(shared, producers=None)

    assert [each for each in differences(forgetful) if "inbox" in each.rule.path] == []


def test_a_link_in_the_place_of_a_directory_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    Spool.create(settings.spool)
    (tmp_path / "theirs").mkdir(mode=0o777)
    (tmp_path / "theirs").chmod(0o777)
    chosen = replace(settings, queues={"mail": QueueSettings()})
    (settings.spool / "inbox" / "mail").symlink_to(tmp_path / "theirs")

    mend(chosen)

    assert mode(tmp_path / "theirs") == 0o777


def test_a_group_that_there_is_not_is_told(settings: Settings) -> None:
    Spool.create(settings.spool)

    with pytest.raises(Misconfigured, match="There is no group no-such-group"):
        mend(replace(settings, producers="no-such-group"))


def test_init_sets_the_modes_and_doctor_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--spool", str(tmp_path / "spool"), "--logs", str(tmp_path / "logs")]
    assert run(["init", "--producers", GROUP, *places]) == 0
    assert mode(tmp_path / "spool" / "inbox") == 0o3730
    assert mode(tmp_path / "spool" / "index.db") == 0o600
    (tmp_path / "spool" / "ready").chmod(0o777)
    settings = Settings(spool=tmp_path / "spool", logs=tmp_path / "logs")

    said = [each.sentence for each in examine(Loaded(settings, {}, None)) if each.grade is Grade.WARN]
    assert any(f"Run: chmod 0750 {tmp_path}/spool/ready" in each for each in said)
    assert run(["init", *places]) == 0
    assert mode(tmp_path / "spool" / "ready") == 0o750
    capsys.readouterr()


def test_a_rule_names_no_group_by_itself() -> None:
    assert Rule("x", 0o750, "because").group is None


# -------------------------------------------------------------------- real users

SERVICE, ALICE, BOB = 61001, 61002, 61003
PRODUCERS = 61010


@pytest.fixture
def town() -> Iterator[Path]:
    """A spool of one user, where others can get to it; tmp_path is closed to them."""
    with tempfile.TemporaryDirectory(prefix="pqfs-modes-") as place:
        os.chmod(place, 0o755)
        root = Path(place)
        Spool.create(root / "spool")
        (root / "logs").mkdir()
        for path in (root / "spool", root / "logs", *((root / "spool" / name) for name in DIRECTORIES)):
            os.chown(path, SERVICE, SERVICE)
        for name in ("ready", "outbox", "dead"):
            (root / "spool" / name / "secret").write_bytes(b"secret")
            os.chown(root / "spool" / name / "secret", SERVICE, SERVICE)
        yield root


def shell(user: int, command: str, at: Path) -> subprocess.CompletedProcess[str]:
    """Run a line as another user, who is a producer."""
    return subprocess.run(
        ["sh", "-c", f"umask 022; {command}"], cwd=at, user=user, group=user, extra_groups=[PRODUCERS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.root
def test_a_producer_can_drop_and_nothing_else(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pqfs.modes._group_id", lambda name: PRODUCERS)
    settings = Settings(spool=town / "spool", logs=town / "logs", producers="producers")
    mend(settings)
    spool = town / "spool"

    assert shell(ALICE, "echo hers > .drop && mv .drop inbox/a", spool).returncode != 0, "the root is closed"
    assert shell(ALICE, "echo hers > inbox/.drop && mv inbox/.drop inbox/a", spool).returncode == 0
    assert ((spool / "inbox" / "a").stat().st_uid, (spool / "inbox" / "a").stat().st_gid) == (ALICE, PRODUCERS)
    assert shell(ALICE, "mkdir inbox/folder && echo x > inbox/folder/b", spool).returncode == 0

    for denied in (
        "ls inbox", "echo inbox/*|grep a", "ls .", "ls ready", "cat ready/secret", "cat outbox/secret", "ls outbox",
        "cat dead/secret", "echo x > ready/x", "echo x > run/x", "cat inbox/../ready/secret", "rmdir inbox",
        "mv inbox/a ready/a", "ln inbox/a ready/a", "chmod 777 inbox",
    ):  # fmt: skip
        assert shell(ALICE, denied, spool).returncode != 0, denied
    for denied in ("rm -f inbox/a", "mv inbox/a inbox/z", "echo his > inbox/a", "echo his >> inbox/a"):
        assert shell(BOB, denied, spool).returncode != 0, denied
    assert (spool / "inbox" / "a").read_bytes() == b"hers\n"

    assert shell(SERVICE, "mv inbox/a ready/a && cat ready/a", spool).stdout == "hers\n"
    assert shell(ALICE, "cat ready/a", spool).returncode != 0, "what was accepted is out of reach"


@pytest.mark.root
def test_root_makes_nothing_in_the_spool_of_another_user_who_could_never_move_it(
    town: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A payload that root submitted lay in a folder of root's: its job could neither run nor be repaired."""
    spool, places = town / "spool", ["--spool", str(town / "spool"), "--logs", str(town / "logs")]
    (town / "a.txt").write_bytes(b"payload")
    before = {path for path in spool.rglob("*") if path.stat().st_uid == 0}

    key = ["keys", "add", "x", "--role", "viewer"]
    for refused in (["queue", "create", "mail"], ["up", "-d", "--no-ui"], ["index", "rebuild"], key):
        assert run([*refused, *places]) == 2, refused
        assert "who could neither read nor move what root makes in it" in capsys.readouterr().err
    assert run(["submit", str(town / "a.txt"), *places]) == 0

    assert {path for path in spool.rglob("*") if path.stat().st_uid == 0} - before == {spool / "inbox" / "a.txt"}
    assert "dropped into the inbox" in capsys.readouterr().err
    assert shell(SERVICE, "mv inbox/a.txt ready/a && cat ready/a", spool).stdout == "payload"
