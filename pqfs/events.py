"""The words that pqfs logs. Wording changes here, never in the logic.

`emit(Word.INGESTED, job=…, queue=…)` writes one line: time in UTC, level, the word, then the fields. Values
from outside are made printable, so that no file name can draw on a terminal or forge a line.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum

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


def emit(word: Word, **fields: object) -> None:
    """Log that something happened, with its fields in the order given. None fields are left out."""
    level = _LEVELS.get(word, logging.INFO)
    if _log.isEnabledFor(level):
        said = " ".join(f"{key}={_show(value)}" for key, value in fields.items() if value is not None)
        _log.log(level, "%s %s", word.value.replace(" ", "-"), said)


def _show(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    text = str(value)
    plain = text.isascii() and text.isprintable() and text and not set(text) & set(" \"'=\\")
    return text if plain else json.dumps(text)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        line = f"{at}Z {record.levelname:<7} {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def log_to_stderr(verbose: bool = False) -> None:
    """Send the log of this process to stderr, where supervisor picks it up.

    A reader that went away (supervisord was killed) must not end us: errors of logging are swallowed, the
    process learns of the death another way.
    """
    logging.raiseExceptions = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
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
        _log.exception("%s while=%s", Word.ERROR.value, json.dumps(doing))
