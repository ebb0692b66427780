"""`pqfs init`: makes what is missing, says what was there, refuses what can not be before anything is made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pqfs import cli, kernel
from pqfs.cli.beginning import STARTER
from pqfs.places import DIRECTORIES
from pqfs.settings import load

_SETTING = re.compile(r"^# (\[|\w+ = )")


def _init(folder: Path, *arguments: str) -> int:
    return cli.run(["--spool", str(folder / "spool"), "--logs", str(folder / "logs"), "init", *arguments])


def test_what_is_missing_is_made_and_what_is_there_is_said_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _init(tmp_path) == 0
    made = capsys.readouterr()
    assert made.out == f"{tmp_path / 'spool'}\n"
    assert made.err.count(" made\n") == 4
    (tmp_path / "spool" / "inbox" / "a").write_text("a")
    (tmp_path / "spool" / "dead").rmdir()
    (tmp_path / "spool" / "README.md").write_text("mine")

    assert _init(tmp_path) == 0

    said = capsys.readouterr().err
    assert f"{tmp_path / 'spool' / 'dead'} made" in said
    assert said.count("was there already") == 3
    assert sorted(path.name for path in (tmp_path / "spool").iterdir() if path.is_dir()) == sorted(DIRECTORIES)
    assert (tmp_path / "spool" / "inbox" / "a").read_text() == "a"
    assert (tmp_path / "spool" / "README.md").read_text() == "mine"


def test_a_settings_file_is_written_once_and_says_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    usual = load({}).settings
    assert cli.run(["init", "--with-config"]) == 0
    config = tmp_path / "pqfs.toml"
    assert load({}).settings == usual
    assert load({}).config == config

    config.write_text("consumers = 5\n")
    assert cli.run(["init", "--with-config"]) == 0
    assert config.read_text() == "consumers = 5\n"
    assert "stays as it is" in capsys.readouterr().err


def test_every_setting_that_the_file_offers_is_one(tmp_path: Path) -> None:
    config = tmp_path / "pqfs.toml"
    text = STARTER.format(spool="spool", logs="logs")
    offered = [line.removeprefix("# ") if _SETTING.match(line) else line for line in text.splitlines()]
    config.write_text("\n".join(offered))

    found = load({"config": str(config)}, {})

    assert found.settings.queue("mail").max_failures == 5
    told = {key: value for key, value in found.origins.items() if value == str(config)}
    assert {"consumers", "keep.done", "defaults.timeout", "queues.mail.backoff"} >= {"consumers"} & told.keys()
    assert found.settings.keep == load({}, {}).settings.keep
    assert found.settings.defaults == load({}, {}).settings.defaults


def test_a_path_with_quotes_is_written_as_toml_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spool = tmp_path / 'od"d \\ name'
    assert cli.run(["--spool", str(spool), "init", "--with-config"]) == 0

    assert load({}).settings.spool == spool


@pytest.mark.parametrize("command", [["init"], ["up", "-d", "--no-ui"]])
def test_a_network_file_system_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.setattr(kernel, "file_system", lambda path: "nfs4")
    monkeypatch.chdir(tmp_path)

    assert cli.run(command) == 2

    assert "network file system (nfs4)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
