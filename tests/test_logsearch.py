"""The newest lines of all logs: in order of time over all programs, bounded, searched by word and level."""

from __future__ import annotations

from pathlib import Path

import pytest

from pqfs.errors import Refused
from pqfs.stack.logsearch import search


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "ingester.log").write_text(
        "2026-11-22T04:00:01.000Z INFO    started owner=ingester.1.a\n"
        "2026-11-22T04:00:03.000Z ERROR   error while=sweeping\n"
        "Traceback (most recent call last):\n"
        "  OSError: no\n"
    )
    (tmp_path / "consumer-00.log").write_text("2026-11-22T04:00:02.000Z WARNING failed job=x name=\x1b[31m<b>\n")
    return tmp_path


def test_lines_of_all_programs_stand_in_order_of_time(logs: Path) -> None:
    found = search(logs)

    assert [(line.program, line.level) for line in found.lines] == [
        ("ingester", "INFO"), ("consumer-00", "WARNING"), ("ingester", "ERROR"),
    ]  # fmt: skip
    assert found.lines[-1].text == "error while=sweeping\nTraceback (most recent call last):\n  OSError: no"
    assert found.lines[1].text == "failed job=x name=%1B[31m<b>"
    assert (found.programs, found.is_whole) == (("consumer-00", "ingester"), True)


def test_words_levels_and_programs_choose(logs: Path) -> None:
    assert [line.level for line in search(logs, level="WARNING").lines] == ["WARNING", "ERROR"]
    assert [line.program for line in search(logs, text="OSERROR").lines] == ["ingester"]
    assert [line.program for line in search(logs, ["consumer"]).lines] == ["consumer-00"]
    with pytest.raises(Refused):
        search(logs, ["nobody"])


def test_only_the_newest_lines_are_told_and_only_the_ends_are_read(logs: Path) -> None:
    with (logs / "ingester.log").open("a") as file:
        file.writelines(f"2026-11-22T05:00:00.000Z INFO    started n={number}\n" for number in range(5000))

    found = search(logs, limit=3)
    assert [line.text for line in found.lines] == [f"started n={number}" for number in (4997, 4998, 4999)]
    assert not found.is_whole
    assert search(logs, ["ingester"], text="sweeping", reach=4096).lines == ()


def test_no_logs_are_no_lines(tmp_path: Path) -> None:
    assert search(tmp_path / "nowhere").lines == ()
