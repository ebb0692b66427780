"""The grammar of names in the spool: how ids, queues, attempts and original names become file names and back.

    parked    <job>.<queue>.<name>              in ready/<arriver>/, done/<date>/, dead/, cancelled/
    claimed   <job>.<attempt>.<queue>.<name>    in claimed/
    scratch   <job>.<attempt>.part|.parts|.out  in work/<owner>/
    output    <utc-stamp>_<id12>_<name>         in outbox/, outbox/<queue>/
    rejected  <id12>.<name>                     in rejected/, beside <id12>.reason.json

`<job>` is a UUIDv7, 36 characters; `<id12>` its last 12 hex digits. A queue's name has no dot. `<name>` is the
original name in a printable form that can be turned back (percent escapes), cut to NAME_BYTES: then the
whole name stands in meta/<job>.json and in the index.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from pqfs.clock import stamp
from pqfs.errors import Refused

# 255 less the longest prefix: job 36, attempt 10, queue 32 and three dots.
NAME_BYTES = 255 - 36 - 10 - 32 - 3
_EXTENSION_BYTES = 24

_QUEUE = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_JOB = r"(?P<job>[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"
_PARKED = re.compile(_JOB + rf"\.(?P<queue>{_QUEUE.pattern})\.(?P<name>.+)", re.DOTALL)
_CLAIMED = re.compile(
    _JOB + rf"\.(?P<attempt>[1-9][0-9]{{0,9}})\.(?P<queue>{_QUEUE.pattern})\.(?P<name>.+)", re.DOTALL
)
_SCRATCH = re.compile(_JOB + r"\.(?P<attempt>[1-9][0-9]{0,9})\.(?P<suffix>part|parts|out)")
_META = re.compile(_JOB + r"\.json")
_NOTE = re.compile(rf"queue\.(?P<queue>{_QUEUE.pattern})\.json")
_SCHEDULE = re.compile(rf"schedule\.(?P<schedule>{_QUEUE.pattern})\.json")
_OUTPUT = re.compile(r"(?P<stamp>\d{8}T\d{6}\.\d{6}Z)_(?P<id12>[0-9a-f]{12})_(?P<name>.+)", re.DOTALL)
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Parked:
    """The name of a payload that nobody runs."""

    job: str
    queue: str
    name: str

    def __str__(self) -> str:
        return f"{self.job}.{self.queue}.{self.name}"


@dataclass(frozen=True, slots=True)
class Claimed:
    """The name of a payload that an attempt runs, or ran when its consumer died."""

    job: str
    attempt: int
    queue: str
    name: str

    def __str__(self) -> str:
        return f"{self.job}.{self.attempt}.{self.queue}.{self.name}"


@dataclass(frozen=True, slots=True)
class Scratch:
    """The name of what an attempt writes: `part` a file, `parts` a directory, `out` when it is complete."""

    job: str
    attempt: int
    suffix: str

    def __str__(self) -> str:
        return f"{self.job}.{self.attempt}.{self.suffix}"


def parse_parked(text: str) -> Parked | None:
    """Read a parked payload's name; None when it is not one."""
    match = _PARKED.fullmatch(text)
    return Parked(match["job"], match["queue"], match["name"]) if match else None


def parse_claimed(text: str) -> Claimed | None:
    """Read a claimed payload's name; None when it is not one."""
    match = _CLAIMED.fullmatch(text)
    return Claimed(match["job"], int(match["attempt"]), match["queue"], match["name"]) if match else None


def parse_scratch(text: str) -> Scratch | None:
    """Read the name of an entry of work/<owner>/; None when it is not one."""
    match = _SCRATCH.fullmatch(text)
    return Scratch(match["job"], int(match["attempt"]), match["suffix"]) if match else None


def parse_meta(text: str) -> str | None:
    """The job that an entry of meta/ belongs to; None when it is not one."""
    match = _META.fullmatch(text)
    return match["job"] if match else None


def note_path(queue: str) -> str:
    """Where it stands what people set of a queue."""
    return f"meta/queue.{queue}.json"


def parse_note(text: str) -> str | None:
    """The queue whose note an entry of meta/ is; None when it is not one."""
    match = _NOTE.fullmatch(text)
    return match["queue"] if match else None


def schedule_path(name: str) -> str:
    """Where it stands what is wanted of a schedule."""
    return f"meta/schedule.{name}.json"


def parse_schedule(text: str) -> str | None:
    """The schedule whose note an entry of meta/ is; None when it is not one."""
    match = _SCHEDULE.fullmatch(text)
    return match["schedule"] if match else None


def is_note(text: str) -> bool:
    """Whether an entry of meta/ is the note of a queue or of a schedule."""
    return parse_note(text) is not None or parse_schedule(text) is not None


def output_id12(text: str) -> str | None:
    """The id12 in an output's name; None when pqfs did not name this file."""
    match = _OUTPUT.fullmatch(text)
    return match["id12"] if match else None


@dataclass(frozen=True, slots=True)
class Output:
    """What the name of an output says: when its job was completed, the tail of the job's id, the input's name."""

    stamp: str
    id12: str
    name: str


def parse_output(text: str) -> Output | None:
    """Read an output's name; None when it is not one."""
    match = _OUTPUT.fullmatch(text)
    return Output(match["stamp"], match["id12"], match["name"]) if match else None


def id_of_tail(instant: float, tail: str) -> str:
    """The id that stands for a job of which only an instant and the tail of the id are known: always the same."""
    return f"{id_floor(instant)[:24]}{tail}"


def is_job_id(text: str) -> bool:
    """Whether the text is a whole job id."""
    return re.fullmatch(_JOB, text) is not None


def is_queue(name: str) -> bool:
    """Whether the text can name a queue."""
    return _QUEUE.fullmatch(name) is not None


def check_queue(name: str) -> str:
    """Return a valid queue name unchanged.

    Raises:
        Refused: it is not 1 to 32 of a-z, 0-9, '-' and '_', beginning with a letter or digit.
    """
    if not _QUEUE.fullmatch(name):
        raise Refused(
            f"{name!r} can not name a queue.",
            "A queue's name is 1 to 32 of a-z, 0-9, '-' and '_', beginning with a letter or a digit.",
        )
    return name


class JobIds:
    """Makes job ids: UUIDv7 that never fall, within one process, in the order in which they are asked for.

    Source: RFC 9562, section 5.7 and method 1 of 6.2 (the 12 bits after the milliseconds count up).
    """

    def __init__(self) -> None:
        self._last = 0

    def next(self, now: float) -> str:
        """A new id for an instant (Unix seconds)."""
        self._last = max(self._last + 1, int(now * 1000) << 12)
        high = (self._last >> 12) << 16 | 0x7000 | (self._last & 0xFFF)
        low = (int.from_bytes(os.urandom(8), "big") & 0x3FFF_FFFF_FFFF_FFFF) | 1 << 63
        digits = f"{high:016x}{low:016x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id12(job: str) -> str:
    """The random tail that names a job in outbox/ and rejected/."""
    return job[-12:]


def id_time(job: str) -> float:
    """The instant in a job id, Unix seconds at a millisecond's precision."""
    return int(job[:8] + job[9:13], 16) / 1000


def id_floor(instant: float) -> str:
    """The least id that a job of this instant can have: all ids below are older."""
    digits = f"{max(0, int(instant * 1000)):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"


@lru_cache(maxsize=2048)  # a name is asked for at each step of its job
def printable(name: bytes) -> str:
    """Turn any name into one that a person, a terminal and a page can show; `original` turns it back.

    Escaped as %XX are '%', '/', whatever is not UTF-8, control and format characters (newline, escape,
    right-to-left marks), and a '-' or '.' in front.
    """
    text = name.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable() and "%" not in text and "/" not in text:
        return text if text[:1] not in ("-", ".") else _escape(text[0]) + text[1:]
    escaped = "".join(_escape(char) if _must_escape(char) else char for char in text)
    return _escape(escaped[0]) + escaped[1:] if escaped[:1] in ("-", ".") else escaped


def harmless(text: str) -> str:
    """Words of others (an error, what a program said) for people: only line ends and tabs may act on a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if char not in "\n\t" and _is_hidden(char) else char for char in text)


def one_line(text: str) -> str:
    """The same where there is room for one line: a line end or a tab becomes a space."""
    return harmless(text.replace("\n", " ").replace("\t", " "))


def printable_path(path: str) -> str:
    """A relative path whose parts may be any names, in a form that can be shown; for people, not for opening."""
    return "/".join(printable(os.fsencode(part)) for part in path.split("/"))


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: a name of other bytes can not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _must_escape(char: str) -> bool:
    return char in "%/" or _is_hidden(char)


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN_CATEGORIES


def _escape(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))


def original(text: str) -> bytes:
    """Undo `printable`."""
    parts = _ESCAPE.split(text)
    return b"".join(
        bytes([int(part, 16)]) if odd % 2 else part.encode("utf-8", "surrogateescape")
        for odd, part in enumerate(parts)
    )


@lru_cache(maxsize=2048)
def disk_name(name: bytes) -> str:
    """The printable form of a name, cut to NAME_BYTES: its extension kept, no escape and no character split."""
    text = printable(name)
    if len(text.encode()) <= NAME_BYTES:
        return text
    stem, dot, extension = text.rpartition(".")
    if not stem or len(extension.encode()) > _EXTENSION_BYTES:
        stem, dot, extension = text, "", ""
    tail = dot + extension
    return _cut(stem, NAME_BYTES - len(tail.encode())) + tail


def _cut(text: str, limit: int) -> str:
    text = text.encode()[:limit].decode("utf-8", "ignore")
    return re.sub(r"%[0-9A-F]?$", "", text)


def is_whole(name: bytes) -> bool:
    """Whether the disk name alone gives the original name back."""
    return len(printable(name).encode()) <= NAME_BYTES


def output_name(completed_at: float, job: str, name: bytes) -> str:
    """The output's name, decided once, in the transaction that completes the job."""
    return f"{stamp(completed_at)}_{id12(job)}_{disk_name(name)}"
