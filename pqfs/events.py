"""The words that pqfs logs. Wording changes here, never in the logic.

`emit(Word.INGESTED, job=…, queue=…)` writes one line: time in UTC, level, the word, then the fields. Values
from outside are made printable, so that no file name can draw on a terminal or forge a line. On request each line is
an object of JSON instead: `time`, `level`, `program`, `word`, `fields`.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum

from pqfs.errors import explained

_log = logging.getLogger("pqfs")


class Word(StrEnum):
    """What can happen. The value is the word in the log."""

    STARTED = "started"
    STOPPED = "stopped"
    DRAINING = "draining"
    INGESTED = "ingested"
    UNSETTLED = "unsettled"
    REJECTED = "rejected"
    WAITING = "waiting"
    STUCK = "stuck"
    OVERFLOW = "overflow"
    BLIND = "blind"
    COMPLETED = "completed"
    FAILED = "failed"
    RETRY = "retry"
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    RELEASED = "released"
    CANCELLED = "cancelled"
    LEASE_LOST = "lease lost"
    PAYLOAD_LOST = "payload lost"
    REAPED = "reaped"
    ADOPTED = "adopted"
    ROLLED_FORWARD = "rolled forward"
    RECONCILED = "reconciled"
    PURGED = "purged"
    CHECKPOINT = "checkpoint"
    HUNG = "hung"
    PAUSED = "paused"
    RESUMED = "resumed"
    SCHEDULED = "scheduled"
    MISSED = "missed"
    ALARM = "alarm"
    ALARM_OVER = "alarm over"
    TOLD = "told"
    UNTOLD = "untold"
    ERROR = "error"


_LEVELS = {
    Word.ERROR: logging.ERROR,
    Word.ALARM: logging.ERROR,
    Word.PAYLOAD_LOST: logging.ERROR,
    Word.CRASHED: logging.WARNING,
    Word.FAILED: logging.WARNING,
    Word.TIMEOUT: logging.WARNING,
    Word.LEASE_LOST: logging.WARNING,
    Word.REJECTED: logging.WARNING,
    Word.STUCK: logging.WARNING,
    Word.OVERFLOW: logging.WARNING,
    Word.BLIND: logging.WARNING,
    Word.HUNG: logging.WARNING,
    Word.MISSED: logging.WARNING,
    Word.PAUSED: logging.WARNING,
    Word.UNTOLD: logging.WARNING,
    Word.INGESTED: logging.DEBUG,
    Word.COMPLETED: logging.DEBUG,
    Word.CHECKPOINT: logging.DEBUG,
    Word.WAITING: logging.DEBUG,
    Word.TOLD: logging.DEBUG,
}


@dataclass(frozen=True, slots=True)
class Said:
    """What a line says; as a text, the word and its fields."""

    word: Word
    fields: Mapping[str, object]

    def __str__(self) -> str:
        """The line without time and level."""
        return " ".join([_hyphened(self.word), *(f"{key}={_show(value)}" for key, value in self.fields.items())])


def emit(word: Word, **fields: object) -> None:
    """Log that something happened, with its fields in the order given. None fields are left out."""
    level = _LEVELS.get(word, logging.INFO)
    if _log.isEnabledFor(level):
        _log.log(level, Said(word, {key: value for key, value in fields.items() if value is not None}))


def _hyphened(word: Word) -> str:
    return word.value.replace(" ", "-")


def _show(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    text = str(value)
    plain = text.isascii() and text.isprintable() and text and not set(text) & set(" \"'=\\")
    return text if plain else json.dumps(text)


def _time(record: logging.LogRecord) -> str:
    return f"{datetime.fromtimestamp(record.created, UTC).strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3]}Z"


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    """One object a line, in ASCII: nothing in it draws on a terminal."""

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:
        said = record.msg if isinstance(record.msg, Said) else Said(Word.ERROR, {"what": record.getMessage()})
        line = {
            "time": _time(record), "level": record.levelname, "program": self._program, "word": _hyphened(said.word),
            "fields": {key: _plain(value) for key, value in said.fields.items()},
        }  # fmt: skip
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _plain(value: object) -> object:
    """What JSON can say of a value."""
    if isinstance(value, bool | int) and not isinstance(value, Enum):
        return value
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else str(value)
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def log_to_stderr(verbose: bool = False, json_of: str | None = None) -> None:
    """Send the log of this process to stderr, where supervisor picks it up; `json_of`: as JSON of this program.

    A reader that went away (supervisord was killed) must not end us: errors of logging are swallowed, the
    process learns of the death another way.
    """
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Text() if json_of is None else _Json(json_of))
    _log.handlers[:] = [handler]
    _log.propagate = False
    _log.setLevel(logging.DEBUG if verbose else logging.INFO)


def trouble(doing: str) -> None:
    """Log the exception being handled at the top of a loop: one of ours in words, a bug with its traceback."""
    error = sys.exception()
    known = explained(error) if error else None
    if known is not None:
        emit(Word.ERROR, **{"while": doing, "error": known.message})
    else:
        _log.error(Said(Word.ERROR, {"while": doing}), exc_info=True)
