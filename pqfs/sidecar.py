"""The sidecar `<name>.job.json`: what a producer may ask of the job that its file becomes.

Read with suspicion: at most 64 KiB, no paths, no unknown keys, no key twice, numbers of at most 18 digits, at most
16 levels deep.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, TypeVar

from pqfs import plain, tracing
from pqfs.clock import SystemClock, parse_iso
from pqfs.durations import Duration
from pqfs.errors import PqfsError, Rejected
from pqfs.model import FURTHEST, LONGEST_KEY, LONGEST_RUN, PRIORITY_LIMIT, Arrival, check_ready_at
from pqfs.naming import check_queue
from pqfs.settings import QueueSettings
from pqfs.values import Section, Then, Told, above, at_least, at_most

_LIMIT = 64 * 1024
_DEEPEST = 16
_DIGEST = "[0-9a-f]{64}"
# For its JSON Schema, a day of the calendar but the 29th of February, from 1971 to 2035.
_INSTANT = (
    r"^(19[7-9][1-9]|19[89]0|20[0-2][0-9]|203[0-5])-"
    r"((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])$"
)
_DIGITS = 18  # what every reader of JSON can hold as a whole number


_OPTIONS = ("max_failures", "timeout", "key", "metadata")


def _short(text: str) -> str:
    if len(text) > LONGEST_KEY:
        raise ValueError(f"String should have at most {LONGEST_KEY} characters")
    return text


def _digest(text: str) -> str:
    if not re.fullmatch(_DIGEST, text):
        raise ValueError("String should be a SHA-256: 64 digits of 0-9 and a-f")
    return text


Digest = Annotated[str, Then(_digest, schema={"pattern": f"^{_DIGEST}$"})]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes(Section):
    """What may be asked of a job beside its payload. Every field is optional."""

    priority: Annotated[int, at_least(-PRIORITY_LIMIT), at_most(PRIORITY_LIMIT)] | None = None
    delay: Annotated[Duration, at_most(FURTHEST)] | None = None
    not_before: Annotated[str, Told(schema={"format": "date-time", "pattern": _INSTANT})] | None = None
    max_failures: Annotated[int, at_least(1), at_most(100)] | None = None
    timeout: Annotated[Duration, above(0), at_most(LONGEST_RUN)] | None = None
    key: Annotated[str, Then(_short, schema={"maxLength": LONGEST_KEY})] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse (Rejected) what no form can tell: an instant that is none, a trace that is none."""
        if self.not_before:
            _check_instant(self.not_before)
        _check_trace(self.metadata)

    def put_on(self, arrival: Arrival, now: float, **more: Any) -> Arrival:
        """The arrival with what is asked for; `more` are further options. `read_as` has checked every value."""
        asked = {name: getattr(self, name) for name in _OPTIONS} | more
        options = {name: value for name, value in asked.items() if value not in (None, {})}
        ready_at = parse_iso(self.not_before) if self.not_before else now + self.delay if self.delay else 0.0
        priority = arrival.priority if self.priority is None else self.priority
        return replace(arrival, priority=priority, ready_at=ready_at, options=options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar(Wishes):
    """What is asked of the job that a file becomes. Every field is optional."""

    queue: Annotated[str, Told(schema={"pattern": "^[a-z0-9][a-z0-9_-]{0,31}$"})] | None = None
    sha256: Digest | None = None

    def check(self) -> None:
        """Refuse what no form can tell, and a queue that none can be called."""
        Wishes.check(self)
        if self.queue:
            check_queue(self.queue)

    def apply(self, arrival: Arrival, queue: QueueSettings, now: float, mark: str) -> Arrival:
        """The arrival with what the sidecar asks for; `mark` tells it from others."""
        chosen = self.queue if self.queue and queue.sidecar_queue else arrival.queue
        # A job that counted a sidecar says which, even if that asked for nothing.
        return replace(self.put_on(arrival, now, sha256=self.sha256, sidecar=mark), queue=chosen)


W = TypeVar("W", bound=Wishes)


def read(descriptor: int) -> Sidecar:
    """Read an open sidecar.

    Raises:
        Rejected: too large, not JSON, a key twice, or not what the schema says; with the reason in words.
    """
    return read_as(Sidecar, descriptor, _LIMIT, "its sidecar")


def read_as(kind: type[W], descriptor: int, limit: int, what: str) -> W:
    """Read an open file of a producer that asks for something; `what` it is called in a refusal. Errors as `read`."""
    data = os.pread(descriptor, limit + 1, 0)
    if len(data) > limit:
        raise Rejected(f"{what} is larger than {limit} bytes")
    try:
        found = _checked(kind, _parse(data))
        found.check()
    except PqfsError as error:
        raise Rejected(f"{what} is invalid: {error.message}") from error
    except ValueError as error:
        raise Rejected(f"{what} is not valid JSON: {error}") from error
    return found


def schema(kind: type[Wishes] = Sidecar) -> dict[str, Any]:
    """The JSON Schema of a sidecar. What it accepts is accepted; a little more is than it can say."""
    from pydantic import TypeAdapter

    found = TypeAdapter(kind).json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _checked(kind: type[W], asked: Any) -> W:
    try:
        return plain.read(kind, asked)
    except plain.Doubt:
        from pydantic import TypeAdapter, ValidationError  # for the few that something is wrong with: it takes 0.1 s
    try:
        return TypeAdapter(kind).validate_python(asked)
    except ValidationError as error:
        first = error.errors()[0]
        is_unknown = first["type"] == "unexpected_keyword_argument"
        what = "Extra inputs are not permitted" if is_unknown else first["msg"].removeprefix("Value error, ")
        raise Rejected(f"{'.'.join(map(str, first['loc']))}: {what}") from error


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


def _check_trace(metadata: dict[str, Any]) -> None:
    try:
        tracing.check(metadata)
    except ValueError as error:
        raise Rejected(f"metadata: {error}") from error


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
