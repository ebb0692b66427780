"""The newest lines of all logs together that say a word: read from the ends of the files, and never far.

A line is one of ours (`2026-11-22T04:31:26.123Z WARNING failed job=…`, or an object of JSON that says the same), of
supervisord's, or of a traceback, which belongs to the line before it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from pathlib import Path

from pqfs import naming
from pqfs.clock import iso, parse_iso
from pqfs.events import Said, Word
from pqfs.stack.logs import log_files

REACH = 1024 * 1024  # bytes from the end of each log that are looked at
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_LEVEL_OF = {"INFO": "INFO", "WARN": "WARNING", "CRIT": "ERROR", "ERRO": "ERROR", "DEBG": "DEBUG"}
_OURS = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3})Z (DEBUG|INFO|WARNING|ERROR|CRITICAL) +(.*)", re.DOTALL)
_SUPERVISORS = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) (\w{4}) (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """What a program logged, with what belongs to it. `at`: UTC as ISO 8601, empty where the line does not say."""

    at: str
    program: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Lines:
    """The newest lines that were meant, oldest first. `is_whole`: all logs were looked at to their beginning."""

    lines: tuple[Line, ...]
    programs: tuple[str, ...]
    is_whole: bool


def search(
    logs: Path, programs: Sequence[str] = (), text: str = "", level: str = "DEBUG", limit: int = 200,
    reach: int = REACH,
) -> Lines:  # fmt: skip
    """The newest lines at this level or above that have a text in them, whatever its case.

    Raises:
        Refused: a program has no log, or this user may not read it.
    """
    wanted = LEVELS[LEVELS.index(level) :]
    known = tuple(path.stem for path in log_files(logs, ()))
    found, is_whole = list[tuple[str, int, Line]](), True
    for path in log_files(logs, programs):
        read, is_all = _end(path, reach)
        is_whole = is_whole and is_all
        for number, line in enumerate(_lines(path.stem, read)):
            if line.level in wanted and text.casefold() in f"{line.program} {line.text}".casefold():
                found.append((line.at, number, line))
    newest = nlargest(limit, found, key=lambda each: each[:2])
    return Lines(tuple(line for *_, line in reversed(newest)), known, is_whole and len(found) <= limit)


def _end(path: Path, reach: int) -> tuple[str, bool]:
    """The end of a file from a line's beginning on, and whether that is all of it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - reach))
            data = file.read(reach)
    except OSError:
        return "", True  # rotated away in this moment, or closed to us
    if size > reach:
        data = data.partition(b"\n")[2]
    return data.decode(errors="replace"), size <= reach


def _lines(program: str, text: str) -> list[Line]:
    found: list[Line] = []
    for raw in text.split("\n"):
        if parsed := _parse(program, raw):
            found.append(parsed)
        elif raw.strip() and found and len(found[-1].text) < 16_000:
            last = found[-1]
            found[-1] = Line(last.at, program, last.level, f"{last.text}\n{naming.harmless(raw)}")
        elif raw.strip():
            found.append(Line("", program, "INFO", naming.harmless(raw)))
    return found


def readable(raw: str) -> str:
    """A line of a log as people read it: what is written as JSON, as the text that it stands for."""
    return _as_text(raw) or raw


def _as_text(raw: str) -> str | None:
    """The text that an object of JSON stands for; None of a line that is none of ours."""
    if not raw.startswith('{"time": '):
        return None
    try:
        said = json.loads(raw)
        line = f"{said['time']} {said['level']:<7} {Said(Word(said['word'].replace('-', ' ')), said['fields'])}"
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # half a line, at the beginning of what was read or at the end of what is written
    return f"{line}\n{said['exception']}" if "exception" in said else line


def _parse(program: str, raw: str) -> Line | None:
    raw = readable(raw)
    if match := _OURS.fullmatch(raw):
        level = "ERROR" if match[2] == "CRITICAL" else match[2]
        return Line(f"{match[1]}Z", program, level, naming.harmless(match[3]))
    if match := _SUPERVISORS.fullmatch(raw):
        at = iso(parse_iso(match[1]))  # supervisord writes local time
        return Line(f"{at[:19]}.{match[2]}Z", program, _LEVEL_OF.get(match[3], "INFO"), naming.harmless(match[4]))
    return None
