"""Who may sign in: passwords kept as hashes, failures counted where no reload forgets them; `pqfs auth`."""

from __future__ import annotations

import io
import json
import stat
import threading
from pathlib import Path

import pytest

from pqfs.errors import Corrupt, Refused
from pqfs.passwords import TRIES, Cost, NotAdmitted, Users
from pqfs.secretfile import SecretFile
from tests.shell import Shell
from tests.test_shapes import SHAPES

SECRET = "correct horse"


@pytest.fixture
def users(tmp_path: Path) -> Users:
    """The users of a spool, their hashes cheap."""
    (tmp_path / "run").mkdir()
    return Users(tmp_path, Cost(n=16, r=1, p=1))


def fail(users: Users, times: int, now: float = 1000.0, name: str = "ann") -> str:
    """Sign in with a wrong password; what was said last."""
    said = ""
    for _ in range(times):
        with pytest.raises(NotAdmitted) as caught:
            users.admit(name, "wrong", now)
        said = caught.value.message
    return said


def test_nobody_is_let_in_before_a_password_is_set(users: Users) -> None:
    for name, password in (("admin", ""), ("admin", "admin"), ("", "")):
        with pytest.raises(NotAdmitted):
            users.admit(name, password, 1.0)

    assert users.all(1.0) == []


def test_who_knows_the_password_is_let_in_and_nobody_else(users: Users) -> None:
    assert users.set_password("ann", SECRET, 1.0)
    users.admit("ann", SECRET, 2.0)

    for name, password in (("ann", "Correct horse"), ("ann", ""), ("bob", SECRET), ("Ann", SECRET)):
        with pytest.raises(NotAdmitted):
            users.admit(name, password, 2.0)


def test_the_file_tells_no_password_and_is_its_owners_alone(users: Users, tmp_path: Path) -> None:
    users.set_password("ann", SECRET, 1.0)
    path = tmp_path / "users.json"

    assert SECRET not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    users.set_password("bob", SECRET, 1.0)
    hashes = {each["hash"] for each in json.loads(path.read_text())["users"].values()}
    assert len(hashes) == 2, "each has a salt of its own"


def test_a_new_password_takes_the_place_of_the_old_and_is_known_as_newer(users: Users) -> None:
    users.set_password("ann", SECRET, 1.0)
    assert not users.set_password("ann", "battery staple", 2.0)

    assert users.since("ann") == 2.0
    users.admit("ann", "battery staple", 3.0)
    fail(users, 1)
    users.remove("ann")
    assert users.since("ann") is None
    with pytest.raises(NotAdmitted):
        users.admit("ann", "battery staple", 4.0)


def test_too_many_failures_lock_a_name_even_for_the_right_password(users: Users, tmp_path: Path) -> None:
    users.set_password("ann", SECRET, 1.0)
    assert "Tries left: 1" in fail(users, TRIES - 1)
    assert "locked until" in fail(users, 1)

    with pytest.raises(NotAdmitted, match="locked"):
        Users(tmp_path).admit("ann", SECRET, 1059.0)
    users.admit("ann", SECRET, 1061.0)
    assert users.all(1061.0)[0].failures == 0


def test_a_lock_lasts_longer_with_each_failure_but_not_for_ever(users: Users) -> None:
    now, waits = 1000.0, []
    users.set_password("ann", SECRET, 1.0)
    fail(users, TRIES - 1, now)
    for _ in range(10):
        fail(users, 1, now)
        until = users.all(now)[0].locked_until
        assert until
        waits.append(until - now)
        now = until

    assert waits == [60.0 * 2**n for n in range(6)] + [3600.0] * 4


def test_a_name_that_nobody_has_is_answered_like_one_that_is_there(users: Users) -> None:
    users.set_password("ann", SECRET, 1.0)

    assert fail(users, TRIES - 1, name="eve") == fail(users, TRIES - 1, name="ann")
    assert fail(users, 1, name="eve").replace("eve", "ann") == fail(users, 1, name="ann")


def test_strangers_do_not_make_a_known_names_failures_forgotten(users: Users, tmp_path: Path) -> None:
    users.set_password("ann", SECRET, 1.0)
    fail(users, TRIES)
    with SecretFile(tmp_path, "users").changing() as held:
        held["failures"] |= {f"x{n}": {"count": 1, "at": 1.0} for n in range(1005)}
    fail(users, 1, name="eve")

    failures = SecretFile(tmp_path, "users").read()["failures"]
    assert len(failures) == 1002
    assert {"ann", "eve", "x1004"} <= failures.keys()


def test_a_clock_that_was_set_back_locks_nobody_out(users: Users) -> None:
    users.set_password("ann", SECRET, 1.0)
    fail(users, TRIES, now=1e9)

    users.admit("ann", SECRET, 1000.0)


def test_a_spoilt_file_lets_nobody_in(users: Users, tmp_path: Path) -> None:
    for text in ("", "[]", '{"users": '):
        (tmp_path / "users.json").write_text(text)
        with pytest.raises(Corrupt):
            users.admit("ann", SECRET, 1.0)
        with pytest.raises(Corrupt):
            users.set_password("ann", SECRET, 1.0)


@pytest.mark.parametrize("name", ["", "Ann", "../x", "a b", "-x", "x" * 33, "ä"])
def test_names_that_can_not_be_are_refused(users: Users, name: str) -> None:
    with pytest.raises(Refused):
        users.set_password(name, SECRET, 1.0)


def test_two_who_write_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()

    def count() -> None:
        for _ in range(20):
            with SecretFile(tmp_path, "users").changing() as held:
                held["n"] = held.get("n", 0) + 1

    threads = [threading.Thread(target=count) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert SecretFile(tmp_path, "users").read() == {"n": 60}


# ---------------------------------------------------------------- the command


def test_a_password_is_set_listed_and_removed_and_that_is_in_the_audit(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("init")
    assert shell("auth", "list") == 0 and "Nobody may sign in" in shell.err
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SECRET}\n"))
    assert shell("auth", "set-password", "ann", "--stdin") == 0

    (item,) = shell.items("auth", "list")
    assert item["name"] == "ann" and set(item) == SHAPES["pqfs.users/1"]
    assert SECRET not in shell.out
    assert shell("auth", "remove", "ann", "-y") == 0
    assert shell.items("auth", "list") == []
    assert [each["verb"] for each in shell.items("audit", "list")][:2] == ["remove user", "set password"]
    assert shell("fsck") == 0, "users.json is explained"


def test_a_password_is_not_asked_for_where_nobody_can_type_and_a_short_one_is_refused(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    shell("init")
    assert shell("auth", "set-password") == 2
    assert shell("auth", "set-password", "--stdin") == 1
    assert "at least 8" in shell.err
    assert shell("auth", "remove", "ann", "-y") == 1


def test_what_a_writer_that_died_has_left_is_read_by_nobody_and_in_nobodys_way(tmp_path: Path, users: Users) -> None:
    users.set_password("ann", SECRET, 1000.0)
    (tmp_path / ".users.json.tmp").write_bytes(b'{"ann": ')

    assert [user.name for user in users.all(1000.0)] == ["ann"]
    users.set_password("bob", SECRET, 1000.0)

    assert [user.name for user in users.all(1000.0)] == ["ann", "bob"]
    assert not (tmp_path / ".users.json.tmp").exists()
