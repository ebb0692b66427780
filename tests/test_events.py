"""What is logged: one line an event, whatever strangers call their files."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pqfs import events
from pqfs.events import Word, emit, log_to_stderr, trouble
from tests.shell import Shell


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    log = logging.getLogger("pqfs")
    kept = log.handlers[:], log.propagate, log.level, logging.raiseExceptions
    log_to_stderr(verbose=True)
    yield
    log.handlers[:], log.propagate, logging.raiseExceptions = kept[0], kept[1], kept[3]
    log.setLevel(kept[2])


_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG  |INFO   |WARNING|ERROR  ) [a-z-]+( \S+=.*)?\n")


def test_an_event_is_one_line_of_time_level_word_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(verbose=True)

    emit(Word.LEASE_LOST, job="abc", attempt=2, seconds=1.23456, nothing=None)

    line = capsys.readouterr().err
    assert _LINE.fullmatch(line)
    assert line.endswith("WARNING lease-lost job=abc attempt=2 seconds=1.235\n")


@pytest.mark.parametrize(
    "name",
    [
        "a\n2027-01-15T08:00:00.000Z ERROR   alarm what=forged",
        "a\r\nb",
        "\x1b[2J\x1b]0;title\x07",
        "a\u2028b\u2029c\u0085d",
        "\u202egpj.exe",
        "x job=forged state=completed",
        'quote" state="completed',
        "back\\slash",
        "\udcff",
        "",
    ],
)
def test_no_name_can_forge_a_line_a_field_or_draw_on_a_terminal(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr(verbose=True)

    emit(Word.REJECTED, name=name, state="rejected")

    line = capsys.readouterr().err
    assert _LINE.fullmatch(line)
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert line[:-1].isprintable()
    unquoted = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
    assert re.findall(r"(\w+)=", unquoted) == ["name", "state"]


@given(st.text() | st.binary())
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_is_shown_in_plain_ascii_on_one_line(value: str | bytes) -> None:
    shown = events._show(value)

    assert shown.isascii()
    assert shown.isprintable()
    assert shown
    assert " " not in shown or (shown[0] == shown[-1] == '"')


def test_the_daily_run_is_logged_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(verbose=False)

    emit(Word.INGESTED, job="a")
    emit(Word.COMPLETED, job="a")
    emit(Word.STARTED, owner="a")

    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == ["started"]


def test_trouble_names_what_was_done_and_carries_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr()

    try:
        raise ValueError("inner")
    except ValueError:
        trouble("sweeping the inbox")

    said = capsys.readouterr().err
    assert 'ERROR   error while="sweeping the inbox"' in said
    assert "ValueError: inner" in said


def test_a_log_reader_that_went_away_does_not_end_the_process() -> None:
    """supervisord was killed: the pipe that stderr goes to has no reader any more."""
    code = (
        "import os; from pqfs.events import *\n"
        "read, write = os.pipe(); os.dup2(write, 2); os.close(read); os.close(write)\n"
        "log_to_stderr()\n"
        "for _ in range(3): emit(Word.STARTED, owner='x')\n"
        "print('alive', flush=True)\n"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=False)

    assert ended.stdout == b"alive\n"


def test_the_machines_trouble_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr()

    try:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "spool/ready")
    except OSError:
        trouble("reaping somebody")

    (line,) = capsys.readouterr().err.splitlines()
    assert "Input/output error (spool/ready)" in line


# -------------------------------------------------------------------- as JSON


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\u202egpj.exe", '"}, {"time"', "\udcff", b"\xff", "", "\u2028"])
def test_as_json_each_event_is_one_object_in_plain_ascii(
    name: str | bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr(json_of="consumer-03")

    emit(Word.LEASE_LOST, name=name, attempt=2, seconds=1.23456, never=float("inf"), state=Word.PAUSED, nothing=None)

    written = capsys.readouterr().err
    assert written.endswith("\n") and written[:-1].isascii() and written[:-1].isprintable()
    said = json.loads(written)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said.pop("time"))
    text = "\\xff" if name == b"\xff" else name
    fields = {"name": text, "attempt": 2, "seconds": 1.235, "never": "inf", "state": "paused"}
    assert said == {"level": "WARNING", "program": "consumer-03", "word": "lease-lost", "fields": fields}


def test_as_json_a_bug_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr(json_of="janitor")
    try:
        _fail_deeply()
    except ZeroDivisionError:
        trouble("sweeping the inbox")

    said = json.loads(capsys.readouterr().err)
    assert (said["word"], said["fields"]) == ("error", {"while": "sweeping the inbox"})
    assert said["exception"].splitlines()[-1].startswith("ZeroDivisionError")


def _fail_deeply() -> float:
    return 1 / 0


def test_a_process_logs_as_the_settings_say(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PQFS_LOG_FORMAT", "json")
    monkeypatch.setenv("SUPERVISOR_PROCESS_NAME", "janitor-7")

    lines = shell.process("janitor", "--once").stderr.decode().splitlines()
    said = [json.loads(line) for line in lines if line.startswith("{")]
    assert [each["word"] for each in said] == ["started", "stopped"]
    assert {each["program"] for each in said} == {"janitor-7"}
    assert [line for line in lines if not line.startswith("{")] == ["Looked after the spool once."]
