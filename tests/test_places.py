"""A spool on a share: its index in a file on a disk of this host, its run/ behind a link, one host at a time."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pqfs import kernel
from pqfs.custody import Identity, read_identity, write_identity
from pqfs.errors import Misconfigured, Unavailable
from pqfs.settings import Loaded, Settings
from pqfs.spool import Spool
from pqfs.wiring import open_app
from tests.shell import Shell
from tests.world import invariants


@pytest.fixture
def apart(shell: Shell) -> Shell:
    """A spool whose index lies elsewhere."""
    for path in shell.spool.glob("index.db*"):
        path.unlink()
    (shell.spool / ".identity").unlink()
    (shell.root / "local").mkdir()
    (shell.root / "pqfs.toml").write_text(f'index = "sqlite:///{shell.root}/local/index.db"\n')
    assert shell("init") == 0
    return shell


def test_an_index_may_lie_elsewhere_and_every_verb_finds_it_there(apart: Shell, tmp_path: Path) -> None:
    job = apart.submit("a.txt")

    assert apart.state(job) == "pending"
    assert apart("status") == 0
    assert apart("fsck") == 0, apart.out
    assert apart("index", "backup", tmp_path / "copy.db") == 0
    (tmp_path / "local" / "index.db").unlink()
    assert apart("status") == 1
    assert "There is no index at" in apart.err
    assert apart("index", "restore", tmp_path / "copy.db", "-y") == 0, apart.err
    assert apart.state(job) == "pending"
    assert apart("index", "rebuild", "--fresh", "-y") == 0
    assert apart.state(job) == "pending"
    assert list(apart.spool.glob("*index*")) == []
    assert {path.name[:8] for path in (tmp_path / "local").iterdir()} == {"index.db"}  # and what was put aside


def test_an_empty_place_beside_an_index_that_knows_jobs_is_no_spool_that_lost_them(apart: Shell) -> None:
    """The volume is not mounted: each job would have been given up as lost."""
    job = apart.submit("a.txt")
    apart.spool.rename(apart.root / "volume")

    assert apart("init") == 6
    assert "Is its volume mounted?" in apart.err
    assert not (apart.spool / ".identity").exists()

    shutil.rmtree(apart.spool)
    (apart.root / "volume").rename(apart.spool)
    assert apart.state(job) == "pending"


def test_an_index_that_lies_elsewhere_is_nobody_elses_to_read(apart: Shell, tmp_path: Path) -> None:
    (tmp_path / "local" / "index.db").chmod(0o644)

    apart("doctor")

    assert f"{tmp_path}/local/index.db is 0644" in apart.out


@pytest.mark.parametrize("address", ["sqlite:///index.db", "mysql://db/pqfs", "/var/lib/pqfs/index.db", ""])
def test_an_address_that_names_no_file_is_refused(shell: Shell, address: str) -> None:
    (shell.root / "pqfs.toml").write_text(f'index = "{address}"\n')

    assert shell("status") == 2
    assert "sqlite:////var/lib/pqfs/index.db" in shell.err


def test_an_index_whose_folder_is_not_there_is_told_and_none_is_made(settings: Settings, spool: Spool) -> None:
    nowhere = replace(settings, index=f"sqlite:///{spool.root.parent}/local/index.db")

    with pytest.raises(Misconfigured, match="There is no folder"):
        open_app(Loaded(nowhere, {}, None))


def _share(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """The spool lies on a share, all else does not."""

    def told(path: bytes) -> str:
        return "nfs4" if os.fsdecode(path).startswith(str(root)) else "ext4"

    monkeypatch.setattr(kernel, "file_system", told)


def test_on_a_share_the_index_must_lie_elsewhere_and_the_refusal_says_how(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _share(monkeypatch, spool.root)
    with pytest.raises(Misconfigured) as refusal:
        open_app(Loaded(settings, {}, None))
    assert 'index = "sqlite:////' in refusal.value.hint

    app = open_app(Loaded(replace(settings, index=f"sqlite:///{spool.root.parent}/index.db"), {}, None))

    invariants(app.spool, app.index)
    app.close()


def test_while_one_host_has_its_index_open_another_is_refused(
    settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _share(monkeypatch, spool.root)
    loaded = Loaded(replace(settings, index=f"sqlite:///{spool.root.parent}/index.db"), {}, None)
    open_app(loaded).close()
    mark = read_identity(spool)
    assert mark is not None and mark == Identity(mark.spool, mark.era, False)

    write_identity(spool, replace(mark, is_open=True, host="other"))

    with pytest.raises(Unavailable, match="The host other works on this spool"):
        open_app(loaded)
    write_identity(spool, replace(mark, is_open=True, host=os.uname().nodename))
    open_app(loaded).close()


def test_on_a_disk_of_this_host_another_name_of_it_is_no_other_host(settings: Settings, spool: Spool) -> None:
    """A container gets a new name at each start."""
    open_app(Loaded(settings, {}, None)).close()
    mark = read_identity(spool)
    assert mark is not None
    write_identity(spool, replace(mark, is_open=True, host="other"))

    open_app(Loaded(settings, {}, None)).close()


# -------------------------------------------------------------------- run/


def test_run_may_be_a_link_to_a_directory_of_this_host_which_is_made(shell: Shell, tmp_path: Path) -> None:
    for path in (shell.spool / "run").iterdir():
        path.unlink()
    (shell.spool / "run").rmdir()
    (shell.spool / "run").symlink_to(tmp_path / "of" / "this" / "host")

    assert shell("init") == 0
    job = shell.submit("a.txt")
    assert shell.process("consume", "--drain").returncode == 0

    assert shell.state(job) == "completed"
    assert (tmp_path / "of" / "this" / "host").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "of" / "this" / "host" / "index.use").exists()
    assert shell("fsck") == 0, shell.out
    (shell.spool / "run" / "stranger").touch()
    assert shell("fsck") == 6
    assert "run/stranger" in shell.out


def test_any_other_directory_must_not_be_a_link(spool: Spool, tmp_path: Path) -> None:
    spool.path("dead").rmdir()
    spool.path("dead").symlink_to(tmp_path)

    with pytest.raises(Misconfigured, match="dead is not a directory"):
        spool.check_one_file_system()
