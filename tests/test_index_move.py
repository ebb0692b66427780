"""`pqfs index move`: the index goes to another place, whole; who looks for it at the old one is told where it is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.cli.addressing import readdress
from pqfs.custody import refuse_barred
from pqfs.errors import IndexGone
from pqfs.index.recording import Recording, whose_changes
from pqfs.settings import Loaded, load
from pqfs.spool import Spool
from pqfs.wiring import open_app, open_index
from tests.shell import Shell
from tests.world import invariants

if TYPE_CHECKING:
    from tests.server import Server


@pytest.fixture(params=["a file", "a server"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the index is to go."""
    if request.param == "a file":
        (tmp_path / "elsewhere").mkdir()
        return f"sqlite:///{tmp_path}/elsewhere/index.db"
    server: Server = request.getfixturevalue("server")
    return server.fresh("moved")


slow_on_a_server = pytest.mark.parametrize(
    "target", ["a file", pytest.param("a server", marks=pytest.mark.slow)], indirect=True
)


def _at(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("PQFS_INDEX", address)


def _is_sound(shell: Shell) -> None:
    with closing(open_app(load({"spool": str(shell.spool)}))) as app:
        invariants(app.spool, app.index)


def test_it_goes_and_comes_back_with_everything_in_it(shell: Shell, target: str) -> None:
    job = shell.submit("a.txt", "--priority", "7")
    assert shell("jobs", "hold", job, "--reason", "wait for ann") == 0
    told = shell.json("jobs", "show", job)["items"], shell.items("audit", "list")

    assert shell("index", "move", "sqlite", target, "--yes") == 0, shell.err
    assert "pqfs.toml names its new address" in shell.err
    assert shell.json("jobs", "show", job)["items"] == told[0]
    assert shell.items("audit", "list")[-len(told[1]) :] == told[1]
    assert shell("audit", "verify") == 0
    _is_sound(shell)

    assert shell("index", "move", target, "sqlite", "--yes") == 0, shell.err
    assert shell.state(job) == "held"
    assert shell("fsck") == 0
    _is_sound(shell)


def test_who_looks_at_the_old_place_is_told_the_new_one_and_makes_no_second_index(shell: Shell, target: str) -> None:
    shell.submit()
    assert shell("index", "move", "sqlite", target, "--yes") == 0
    (shell.root / "pqfs.toml").unlink()

    assert shell("status") == 6
    assert "was moved to" in shell.err
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
    assert "not what they should be in its new place" in shell.err

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


def test_who_does_not_let_go_of_the_index_keeps_it_where_it_is(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shell.submit()
    monkeypatch.setenv("PQFS_CONSUME__DRAIN", "0")
    monkeypatch.setattr("pqfs.cli.rebuilding._DRAIN", 0.0)
    with closing(shell.app()) as app:
        assert shell("index", "move", "sqlite", f"sqlite:///{tmp_path}/index.db", "--yes") == 1
        assert "still uses the index" in shell.err
        assert whose_changes(app.index.engine) is None

    assert shell.state(job) == "pending"
    assert not (shell.spool / "run" / "index.barred").exists()
    assert shell("fsck") == 0


@slow_on_a_server
def test_pqfs_toml_names_the_new_place_and_says_all_else_as_before(
    shell: Shell, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.root)
    config = shell.root / "pqfs.toml"
    config.write_text('# ours\nspool = "spool"\n\n[keep]  # as long as this\ndone = "1d"\n')
    config.chmod(0o640)
    job = shell.submit()

    assert shell("index", "move", "sqlite", target, "--yes") == 0, shell.err
    assert "names its new address" in shell.err
    assert shell.state(job) == "pending"
    assert config.read_text().startswith(f'# ours\nspool = "spool"\n\nindex = "{target}"\n\n[keep]  # as long')
    assert config.stat().st_mode & 0o777 == 0o640

    assert shell("index", "move", target, "sqlite", "--yes") == 0, shell.err
    assert 'index = "sqlite"' in config.read_text()
    assert shell.state(job) == "pending"
    _is_sound(shell)


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("", "postgresql://me:secret@host/x"),
        ('"index" = "sqlite"\n', "sqlite:////x.db"),
        ('note = """\nindex = 1\n"""\n', "sqlite:////x.db"),
    ],
    ids=["a password", "a quoted key", "a text that looks like the line"],
)
def test_a_settings_file_that_can_not_tell_it_is_left_as_it_is(tmp_path: Path, line: str, address: str) -> None:
    config = tmp_path / "pqfs.toml"
    config.write_text(line)
    settings = load({"spool": str(tmp_path)}, {}).settings
    loaded = Loaded(settings, {}, config)

    assert not readdress(loaded, settings, replace(settings, index=address))
    assert config.read_text() == line


def test_where_there_were_no_settings_yet_the_file_that_tells_the_address_is_made(
    shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = f"sqlite:///{tmp_path}/elsewhere/index.db"
    job = shell.submit()

    assert shell("index", "move", "sqlite", target, "--yes") == 0, shell.err
    assert (shell.root / "pqfs.toml").read_text() == f'index = "{target}"\n'
    assert shell.state(job) == "pending"


@slow_on_a_server
def test_an_address_of_the_environment_is_told_and_not_written(
    shell: Shell, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.root)
    (shell.root / "pqfs.toml").write_text('spool = "spool"\n')
    _at(monkeypatch, "sqlite")
    shell.submit()

    assert shell("index", "move", "sqlite", target, "--yes") == 0, shell.err
    assert "Now set its address" in shell.err
    assert (shell.root / "pqfs.toml").read_text() == 'spool = "spool"\n'


@slow_on_a_server
def test_everybody_is_told_to_wait_while_the_rest_is_carried_over(
    shell: Shell, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.submit()
    said = []

    def look(*_: object) -> None:
        with closing(Spool(shell.spool)) as spool, pytest.raises(IndexGone, match="being moved"):
            refuse_barred(spool)
        said.append("wait")

    monkeypatch.setattr("pqfs.cli.moving.note", look)
    assert shell("index", "move", "sqlite", target, "--yes") == 0, shell.err

    assert said
    assert not (shell.spool / "run" / "index.barred").exists()


class Killed(BaseException):
    """What a kill is to the code that it meets: nothing is cleared away."""


@slow_on_a_server
def test_a_move_that_was_killed_can_be_abandoned_and_nothing_of_it_is_left(
    shell: Shell, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shell.submit()
    _killed(shell, target, "pqfs.cli.moving.note", monkeypatch)
    assert (shell.spool / "run" / "index.barred").exists()
    assert shell("submit", "a.txt") == 0, "nobody waits for the dead"
    assert not (shell.spool / "run" / "index.barred").exists()

    assert shell("index", "move", "--abandon") == 0, shell.err

    assert shell("submit", "a.txt") == 0
    assert shell.state(job) == "pending"
    with closing(shell.app()) as app:
        assert whose_changes(app.index.engine) is None
    _is_sound(shell)


@slow_on_a_server
def test_a_move_that_was_killed_beside_the_pipeline_holds_nobody_up_and_is_told(
    shell: Shell, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shell.submit()
    _killed(shell, target, "pqfs.index.moving.Move.compare", monkeypatch)

    assert shell.submit("b.txt") != job
    assert shell("fsck") == 0
    shell("status")
    assert "index move --abandon" in shell.out


def test_a_backup_that_was_made_while_the_index_moved_comes_back_without_a_trace_of_that(shell: Shell) -> None:
    shell.submit()
    with closing(open_index(load({"spool": str(shell.spool)}).settings)) as index:
        Recording(index.engine)
    copy = shell.root / "copy.db"
    assert shell("index", "backup", copy) == 0

    assert shell("index", "restore", copy, "--yes") == 0, shell.err

    with closing(shell.app()) as app:
        assert whose_changes(app.index.engine) is None
    _is_sound(shell)


def test_an_index_on_a_server_that_is_made_anew_forgets_a_move_that_was_cut_off(
    shell: Shell, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.run("CREATE DATABASE anew STRATEGY file_copy")
    _at(monkeypatch, server.address("anew"))
    with closing(shell.app()) as app:
        Recording(app.index.engine)

    assert shell("index", "rebuild", "--fresh", "--yes") == 0, shell.err

    with closing(shell.app()) as app:
        assert whose_changes(app.index.engine) is None
    monkeypatch.delenv("PQFS_INDEX")
    server.run("DROP DATABASE anew WITH (FORCE)")


def _killed(shell: Shell, target: str, before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill a move right before it calls this: what it clears away at its end stays, too."""

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(before, die)
        patched.setattr("pqfs.index.moving.Move.end", lambda _: None)
        patched.setattr("pqfs.cli.rebuilding.unbar", lambda _: None)
        with pytest.raises(Killed):
            shell("index", "move", "sqlite", target, "--yes")


@slow_on_a_server
@pytest.mark.parametrize(
    "before",
    [
        "pqfs.index.moving.Move.copy",
        "pqfs.index.moving.Move.compare",
        "pqfs.index.moving.Move.catch_up",
        "pqfs.index.moving.Move.finish",
        "pqfs.cli.moving.note",
        "pqfs.cli.moving._hand_over",
        "pqfs.cli.moving._remember",
        "pqfs.cli.moving.put_aside",
        "pqfs.cli.moving.readdress",
    ],
)
def test_a_move_that_was_killed_anywhere_goes_on(
    shell: Shell, target: str, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.root)
    (shell.root / "pqfs.toml").write_text('spool = "spool"\n')
    job = shell.submit()
    _killed(shell, target, before, monkeypatch)

    assert shell("index", "move", "sqlite", target, "--yes") == 0, shell.err

    assert f'index = "{target}"' in (shell.root / "pqfs.toml").read_text()
    assert shell.state(job) == "pending"
    with closing(open_app(load())) as app:
        assert whose_changes(app.index.engine) is None
        invariants(app.spool, app.index)
    with pytest.raises(IndexGone, match="was moved to"):
        open_app(load({"index": "sqlite"}))
