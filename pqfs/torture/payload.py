"""What a payload says of itself, and how it is found again in whatever became of it.

A payload is one JSON line (its number, what its handler is to do with it) and random bytes. An output is one JSON
line (job, attempt, name, the sidecar's number), the payload, and a line that ends it with the payload's hash. So
each output tells alone, without the index, whose it is and whether it is whole. An empty payload is known by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

EMPTY = hashlib.sha256(b"").hexdigest()
_NUMBER = re.compile(r"p(\d{7})")
_END = re.compile(rb"\nEND ([0-9a-f]{64})\n\Z")
_PARTS = ("1-head", "2-body", "3-end")


@dataclass(frozen=True, slots=True)
class Payload:
    """One file on its way in."""

    number: int
    behaviour: str
    data: bytes

    @property
    def sha256(self) -> str:
        """The hash of its bytes."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def name(self) -> str:
        """A name of its own, which tells its number."""
        return f"p{self.number:07d}-{self.behaviour.replace(' ', '-')}.dat"


@dataclass(frozen=True, slots=True)
class Found:
    """What an output tells: whose it is, and why it can not be whole (None: it is)."""

    number: int | None
    sha256: str | None
    job: str | None
    attempt: int | None
    metadata: int | None
    flaw: str | None = None


def make(number: int, behaviour: str, size: int, chance: Random) -> Payload:
    """A payload of about `size` bytes, unlike any other."""
    head = json.dumps({"number": number, "behave": behaviour, "unlike": chance.getrandbits(64)})
    return Payload(number, behaviour, head.encode() + b"\n" + chance.randbytes(size))


def number_of(data: bytes, name: str) -> int | None:
    """The number of a payload: what it says itself, or, of an empty one, its name."""
    if data:
        try:
            return int(json.loads(data.partition(b"\n")[0])["number"])
        except (ValueError, KeyError, TypeError):
            return None
    return number_in(name)


def number_in(name: str) -> int | None:
    """The number in a payload's own name; None for names that come again and again."""
    found = _NUMBER.search(name)
    return int(found[1]) if found else None


def open_output(path: Path) -> Found:
    """Read an output, a file or a directory, and say what it is."""
    if not path.is_dir():
        return parse_output(path.read_bytes())
    parts = [path / name for name in _PARTS]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        return Found(None, None, None, None, None, f"{', '.join(missing)} missing")
    return parse_output(b"".join(part.read_bytes() for part in parts))


def parse_output(data: bytes) -> Found:
    """What the bytes of an output tell."""
    head, _, rest = data.partition(b"\n")
    try:
        told = json.loads(head)
        job, attempt, name, metadata = told["job"], told["attempt"], told["name"], told["metadata"]
    except (ValueError, KeyError, TypeError):
        return Found(None, None, None, None, None, "its beginning is not there")
    end = _END.search(rest)
    if end is None:
        return Found(None, None, job, attempt, metadata, "its end is not there")
    body = rest[: end.start()]
    digest = hashlib.sha256(body).hexdigest()
    flaw = None if digest == end[1].decode() else "its payload is not the one that its end tells of"
    return Found(number_of(body, name), digest, job, attempt, metadata, flaw)
