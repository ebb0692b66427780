"""A process keeps the settings that it started with: that pqfs.toml has changed since is told wherever one looks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pqfs.edition import UNREADABLE, Edition, Unread, mark_of_file
from pqfs.inbox import Inbox
from pqfs.ingester import Ingester
from pqfs.settings import load
from pqfs.wiring import open_app
from tests.shell import Shell
from tests.world import eventually


@pytest.mark.parametrize(
    ("text", "is_another"),
    [
        ("consumers = 3\n[queues.mail]\ntimeout = '5m'\n", False),
        ('# a word\n\nconsumers=3\n\n[queues.mail]\ntimeout = "5m"  # five minutes\n', False),
        ("consumers = 3\n[queues.mail]\ntimeout = '6m'\n", True),
        ("consumers = 3\n", True),
        ("consumers = \n", True),
        (None, True),
    ],
)
def test_a_file_is_another_edition_when_it_says_something_else(
    tmp_path: Path, text: str | None, is_another: bool
) -> None:
    config = tmp_path / "pqfs.toml"
    config.write_text("consumers = 3\n[queues.mail]\ntimeout = '5m'\n")
    edition = load({"config": str(config)}, {}).edition
    assert edition is not None
    assert not edition.is_outdated

    if text is None:
        config.unlink()
    else:
        config.write_text(text)

    assert edition.is_outdated is is_another


def test_a_file_that_appears_where_there_was_none_is_another_edition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    edition = load({}, {}).edition
    assert edition is not None
    assert edition.path == str(tmp_path / "pqfs.toml")

    (tmp_path / "pqfs.toml").write_text("# nothing yet\n")
    assert not edition.is_outdated
    (tmp_path / "pqfs.toml").write_text("consumers = 2\n")
    assert edition.is_outdated


def test_what_can_not_be_read_is_no_edition_of_anybodys(tmp_path: Path) -> None:
    (tmp_path / "pqfs.toml").write_bytes(b"\xff")

    assert mark_of_file(tmp_path / "pqfs.toml") == UNREADABLE
    assert Edition(str(tmp_path / "pqfs.toml"), "00000000").is_outdated


def test_status_ps_and_doctor_tell_who_goes_by_an_older_file(shell: Shell) -> None:
    environment = {**os.environ, "SUPERVISOR_PROCESS_NAME": "consumer-00"}
    command = [sys.executable, "-m", "pqfs", "consume"]
    with subprocess.Popen(command, cwd=shell.root, env=environment, stderr=subprocess.DEVNULL) as consumer:
        try:
            eventually(lambda: shell("ps") == 0 and "consumer-00" in shell.out, "it lives")
            eventually(lambda: (shell.spool / "run" / "consumer-00.pulse").stat().st_size, "it beats")
            assert [each["outdated"] for each in shell.items("ps")] == [False]
            assert "settings-changed" not in json.dumps(shell.json("status"))

            (shell.root / "pqfs.toml").write_text("[queues.mail]\n")

            assert [each["outdated"] for each in shell.items("ps")] == [True]
            assert shell("ps") == 0
            assert "since these were started: consumer-00" in shell.err
            (notice,) = (n for n in shell.json("status")["notices"] if n["name"] == "settings-changed")
            assert "consumer-00" in notice["sentence"]
            assert "pqfs consumers restart" in notice["hint"]
            shell("doctor")
            assert "settings-changed: pqfs.toml has changed" in shell.out
        finally:
            consumer.terminate()
            consumer.wait(30)


# -------------------------------------------------------------------- queues that only a newer file names


def test_only_queues_that_the_file_has_come_to_name_are_unread(tmp_path: Path) -> None:
    config = tmp_path / "pqfs.toml"
    config.write_text("[queues.mail]\n")
    edition = load({"config": str(config)}, {}).edition
    assert edition is not None
    unread = Unread(edition, ["mail"])
    assert unread.names() == set()

    config.write_text("[queues.mail]\n[queues.scans]\n")
    assert unread.names() == {"scans"}
    config.write_text("[queues.scans\n")
    assert unread.names() == set()
    config.write_text("queues = 3\n")
    assert unread.names() == set()
    config.write_text("[queues.scans]\n")
    assert unread.names() == {"scans"}
    config.unlink()
    assert unread.names() == set()


def test_a_queue_that_only_a_newer_file_names_is_neither_filled_nor_worked_off_by_a_handler_of_before(
    shell: Shell,
) -> None:
    (shell.root / "pqfs.toml").write_text("consumers = 2\n")
    older = open_app(load({"spool": str(shell.spool), "config": str(shell.root / "pqfs.toml")}, {}))
    with closing(older):
        (shell.root / "pqfs.toml").write_text("[queues.scans]\nhandler = { command = ['false'] }\n")
        dropped = shell.spool / "inbox" / "scans" / "a.txt"
        dropped.parent.mkdir()
        dropped.write_bytes(b"a")

        ingester = Ingester(older.jobqueue, Inbox(shell.spool, older.settings), "ingester.1.aa", older.clock)
        assert ingester.sweep().taken == 0
        assert dropped.exists()
        assert shell("submit", "-q", "scans", str(dropped)) == 0  # by a command, which has read the new file
        assert older.jobqueue.claim("me", None, 10, older.clock.now()) == []

        (shell.root / "pqfs.toml").unlink()
        assert [job.queue for job in older.jobqueue.claim("me", None, 10, older.clock.now())] == ["scans"]
