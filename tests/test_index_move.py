"""`pqfs index move`: the index goes to another place, whole; who looks for it at the old one is told where it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.settings import load
from pqfs.wiring import open_app
from tests.shell import Shell
from tests.world import invariants

if TYPE_CHECKING:
    from tests.server import Server


@pytest.fixture(params=["a file", "a server"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the index is to go."""
    if request.param == "a file":
        (tmp_path / "elsewhere").mkdir()
        yield f"sqlite:///{tmp_path}/elsewhere/index.db"
        return
    server: Server = request.getfixturevalue("server")
    server.run("CREATE DATABASE moved STRATEGY file_copy")
    yield server.address("moved")
    server.run("DROP DATABASE moved WITH (FORCE)")


def _at(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("PQFS_INDEX", address)


def _is_sound(shell: Shell) -> None:
    with closing(open_app(load({"spool": str(shell.spool)}))) as app:
        invariants(app.spool, app.index)


def test_it_goes_and_comes_back_with_everything_in_it(
    shell: Shell, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shell.submit("a.txt", "--priority", "7")
    assert shell("jobs", "hold", job, "--reason", "wait for ann") == 0
    told = shell.json("jobs", "show", job)["items"], shell.items("audit", "list")

    assert shell("index", "move", "sqlite", target, "--yes") == 0, shell.err
    assert "index = " in shell.err
    _at(monkeypatch, target)
    assert shell.json("jobs", "show", job)["items"] == told[0]
    assert shell.items("audit", "list")[-len(told[1]) :] == told[1]
    assert shell("audit", "verify") == 0
    _is_sound(shell)

    assert shell("index", "move", target, "sqlite", "--yes") == 0, shell.err
    monkeypatch.delenv("PQFS_INDEX")
    assert shell.state(job) == "held"
    assert shell("fsck") == 0
    _is_sound(shell)


def test_who_looks_at_the_old_place_is_told_the_new_one_and_makes_no_second_index(
    shell: Shell, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.submit()
    assert shell("index", "move", "sqlite", target, "--yes") == 0

    assert shell("submit", "a.txt") == 6
    assert "was moved to" in shell.err
    assert shell("index", "rebuild") == 6
    assert "was moved to" in shell.err
    assert not (shell.spool / "index.db").exists()

    assert shell("index", "rebuild", "--fresh", "--yes") == 0, shell.err
    _is_sound(shell)


@pytest.mark.parametrize("before", ["note", "put_aside"], ids=["before its act is noted", "before the last effect"])
def test_a_move_that_was_cut_off_is_begun_again_and_until_then_the_source_is_the_index(
    shell: Shell, target: str, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shell.submit()

    class Cut(BaseException):
        """What a kill is to the code that it meets."""

    def cut(*_: object) -> int:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(f"pqfs.cli.moving.{before}", cut)
        with pytest.raises(Cut):
            shell("index", "move", "sqlite", target, "--yes")
    assert shell.state(job) == "pending"

    assert shell("index", "move", "sqlite", target, "--yes") == 0, shell.err
    _at(monkeypatch, target)
    assert shell.state(job) == "pending"
    _is_sound(shell)


def test_half_a_move_is_never_taken_for_the_whole(shell: Shell, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shell.submit()
    with monkeypatch.context() as patched:
        patched.setattr("pqfs.index.moving._Leveller._write", lambda self: 1)
        assert shell("index", "move", "sqlite", target, "--yes") == 1
    assert "changed while it was moved" in shell.err

    _at(monkeypatch, target)

    if target.startswith("postgresql"):
        assert shell("submit", "a.txt") == 6, "half an index was used"
    else:  # as after a rebuild that was killed: it is brought up to date from the tree
        assert shell("jobs", "list") == 0
        _is_sound(shell)
        assert shell.state(job) == "pending"


@pytest.mark.parametrize(
    ("source", "wanted", "says"),
    [
        ("sqlite", "sqlite", "already"),
        ("sqlite", "mysql://host/x", "is none of"),
        ("sqlite:////nowhere/index.db", "sqlite", "There is no index at"),
    ],
)
def test_a_move_that_can_not_be_is_refused_and_changes_nothing(
    shell: Shell, source: str, wanted: str, says: str
) -> None:
    job = shell.submit()

    assert shell("index", "move", source, wanted, "--yes") == 1

    assert says in shell.err
    assert shell.state(job) == "pending"


def test_another_spools_index_is_never_written_over(shell: Shell, tmp_path: Path) -> None:
    shell.submit()
    other = tmp_path / "other"
    assert shell("--spool", other, "init") == 0

    assert shell("index", "move", "sqlite", f"sqlite:///{other}/index.db", "--yes") != 0

    assert "another spool" in shell.err
    assert shell("fsck") == 0


def test_nothing_moves_while_somebody_works(shell: Shell, tmp_path: Path) -> None:
    shell.submit()
    with closing(shell.app()):
        assert shell("index", "move", "sqlite", f"sqlite:///{tmp_path}/index.db", "--yes") == 1

    assert "alive" in shell.err
