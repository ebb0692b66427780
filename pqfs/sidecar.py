"""The sidecar `<name>.job.json`: what a producer may ask of the job that its file becomes.

Read with suspicion: at most 64 KiB, no paths, no unknown keys, no key twice, numbers of at most 18 digits, at most
16 levels deep.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pqfs.clock import SystemClock, parse_iso
from pqfs.durations import Duration
from pqfs.errors import PqfsError, Rejected
from pqfs.model import FURTHEST, LONGEST_RUN, PRIORITY_LIMIT, Arrival, check_ready_at
from pqfs.naming import check_queue
from pqfs.settings import QueueSettings

_LIMIT = 64 * 1024
_DEEPEST = 16
_DIGITS = 18  # what every reader of JSON can hold as a whole number


class Sidecar(BaseModel):
    """The schema of a sidecar; every field is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    priority: Annotated[int, Field(ge=-PRIORITY_LIMIT, le=PRIORITY_LIMIT)] | None = None
    queue: str | None = None
    delay: Annotated[Duration, Field(le=FURTHEST)] | None = None
    not_before: str | None = None
    max_failures: Annotated[int, Field(ge=1, le=100)] | None = None
    timeout: Annotated[Duration, Field(gt=0, le=LONGEST_RUN)] | None = None
    key: Annotated[str, Field(max_length=200)] | None = None
    metadata: dict[str, Any] = {}

    def apply(self, arrival: Arrival, queue: QueueSettings, now: float, mark: str) -> Arrival:
        """The arrival with what the sidecar asks for. `read` has checked every value; `mark` tells it from others."""
        options = self.model_dump(include={"max_failures", "timeout", "key", "metadata"}, exclude_defaults=True)
        ready_at = parse_iso(self.not_before) if self.not_before else now + self.delay if self.delay else 0.0
        chosen = self.queue if self.queue and queue.sidecar_queue else arrival.queue
        priority = arrival.priority if self.priority is None else self.priority
        # A job that counted a sidecar says which, even if that asked for nothing.
        return replace(
            arrival, queue=chosen, priority=priority, ready_at=ready_at, options={**options, "sidecar": mark}
        )


def read(descriptor: int) -> Sidecar:
    """Read an open sidecar.

    Raises:
        Rejected: too large, not JSON, a key twice, or not what the schema says; with the reason in words.
    """
    data = os.pread(descriptor, _LIMIT + 1, 0)
    if len(data) > _LIMIT:
        raise Rejected(f"its sidecar is larger than {_LIMIT} bytes")
    try:
        found = Sidecar.model_validate(_parse(data))
        if found.not_before:
            _check_instant(found.not_before)
        if found.queue:
            check_queue(found.queue)
    except ValidationError as error:
        first = error.errors()[0]
        raise Rejected(f"its sidecar is invalid: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except PqfsError as error:
        raise Rejected(f"its sidecar is invalid: {error.message}") from error
    except ValueError as error:
        raise Rejected(f"its sidecar is not valid JSON: {error}") from error
    return found


def mark_of(size: int, mtime_ns: int) -> str:
    """What tells one sidecar of a name from another, also in a copy of the spool."""
    return f"{size}.{mtime_ns}"


def _parse(data: bytes) -> Any:
    text = data.decode("utf-8", "surrogatepass").removeprefix("\ufeff")
    if _depth(text) > _DEEPEST:
        raise ValueError(f"it is more than {_DEEPEST} levels deep")
    found = json.loads(
        text, object_pairs_hook=_once, parse_float=_number, parse_constant=_number, parse_int=_whole_number
    )
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("half a surrogate pair stands in a string") from error
    return found


def _depth(text: str) -> int:
    """How deep brackets stand in each other, outside of texts: asked before anything recurses."""
    deepest = depth = 0
    for mark in re.finditer(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', text, re.DOTALL):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _whole_number(text: str) -> int:
    if len(text.lstrip("-")) > _DIGITS:
        raise ValueError(f"a number has more than {_DIGITS} digits")
    return int(text)


def _check_instant(text: str) -> None:
    try:
        check_ready_at(parse_iso(text), SystemClock().now())
    except ValueError as error:
        raise Rejected(f"not_before: {error}") from error


def _number(text: str) -> float:
    """Refuse NaN and Infinity, which Python would read, and what is too large for a number (1e999)."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
