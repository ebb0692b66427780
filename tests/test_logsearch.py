"""The newest lines of all logs: in order of time over all programs, bounded, searched by word and level."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pqfs.errors import Refused
from pqfs.stack.logsearch import readable, search
from tests.shell import Shell


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


JSON = (
    '{"time": "2026-11-22T04:00:02.500Z", "level": "WARNING", "program": "x", "word": "lease-lost", '
    '"fields": {"job": "y", "name": "a\\u001b[31m b", "seconds": 0.5}, "exception": "Traceback:\\n  OSError: no"}'
)


def test_lines_of_json_are_read_as_the_text_that_they_stand_for(logs: Path) -> None:
    with (logs / "consumer-00.log").open("a") as file:
        file.write(f"{JSON}\n{JSON[:40]}\n")

    line = search(logs, text="LEASE-lost job=y").lines[0]
    assert (line.at, line.program, line.level) == ("2026-11-22T04:00:02.500Z", "consumer-00", "WARNING")
    first, *more = line.text.splitlines()
    assert first == r'lease-lost job=y name="a\u001b[31m b" seconds=0.500'
    assert more == ["Traceback:", "  OSError: no", JSON[:40]]


@pytest.mark.parametrize(
    "line", ["", "{}", JSON[:-1], "[1]", '{"time": 1}', '{"time": "x", "level": 1, "word": [], "fields": 0}']
)
def test_what_is_no_line_of_ours_stays_as_it_is(line: str) -> None:
    assert readable(line) == line


def test_people_read_both_as_text_and_the_lines_themselves_when_they_ask(shell: Shell) -> None:
    (shell.root / "logs" / "janitor.log").write_text(f"2026-11-22T04:00:01.000Z INFO    started owner=x\n{JSON}\n")

    assert shell("logs") == 0
    assert "WARNING lease-lost job=y" in shell.out and '{"time"' not in shell.out
    assert shell("logs", "--raw", "-n", "1") == 0
    assert json.loads(shell.out)["word"] == "lease-lost"
