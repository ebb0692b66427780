"""Durations, sizes and rates as people write them: `90s`, `5m` (a bare number is seconds); `64MiB`; `100/m`."""

from __future__ import annotations

import re
from typing import Annotated

from pqfs.values import Read

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
PERIODS = {60.0: "minute", 3600.0: "hour", 86400.0: "day"}  # those of a rate, in words
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?")
_SIZE = re.compile(r"(\d{0,18}\.?\d{1,18})\s*([kmgtpe]?)(i?)b?", re.IGNORECASE)
_POWERS = " kmgtpe"


def parse_duration(value: object) -> float:
    """Seconds from `90`, `90s`, `5m`, `1.5h` or `7d`.

    Raises:
        ValueError: it is none of these.
    """
    match = _DURATION.fullmatch(str(value).strip())
    if not match:
        raise ValueError(f"{value!r} is not a duration; write 90s, 5m, 2h or 7d")
    return float(match[1]) * _UNITS[match[2] or "s"]


def format_duration(seconds: float) -> str:
    """The shortest exact form: 90 -> `90s`, 7200 -> `2h`."""
    for unit in ("w", "d", "h", "m", "s"):
        if seconds >= _UNITS[unit] and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


class Size(int):
    """A number of bytes."""

    __slots__ = ()

    def __str__(self) -> str:
        """As it is written: the largest unit of 1024s that it fills, `64MiB`."""
        for power in range(6, 0, -1):
            if self >= 1024**power:
                return f"{self / 1024**power:.1f}".removesuffix(".0") + f"{_POWERS[power].upper()}iB"
        return f"{int(self)}B"


def parse_size(value: object) -> Size:
    """Bytes from `1000`, `64MiB` (1024s), `64MB` (1000s) or `1.5 GiB`.

    Raises:
        ValueError: it is none of these.
    """
    match = _SIZE.fullmatch(str(value).strip())
    if not match or (match[3] and not match[2]):
        raise ValueError(f"{value!r} is not a size; write 1000, 64MiB or 1.5GiB")
    factor = (1024 if match[3] else 1000) ** _POWERS.index(match[2].lower() or " ")
    return Size(int(match[1]) * factor if match[1].isdecimal() else float(match[1]) * factor)


# For a JSON Schema: whole seconds, or up to a year with a unit.
_WRITTEN = (
    r"^([1-9][0-9]{0,9}ms|[1-9][0-9]{0,6}s|[1-9][0-9]{0,4}m|[1-9][0-9]{0,2}h|([1-9][0-9]?|[12][0-9]{2}|3[0-5][0-9]|36[0-5])d"
    r"|([1-9]|[1-4][0-9]|5[0-2])w|[1-9][0-9]?\.[0-9]{1,3}[smhd])$"
)
_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _WRITTEN}], "examples": ["10m"]}

Duration = Annotated[float, Read(parse_duration, schema=_SCHEMA)]
Bytes = Annotated[Size, Read(parse_size)]


def parse_rate(value: str) -> tuple[int, float]:
    """How many, in how many seconds: from `100/m`, `5000/hour` or `20000/d`.

    Raises:
        ValueError: it is none of these.
    """
    match = re.fullmatch(r"([1-9]\d{0,9})\s*/\s*(m(?:inute)?|h(?:our)?|d(?:ay)?)", value.strip())
    if not match:
        raise ValueError(f"{value!r} is not a rate; write 100/m, 5000/h or 20000/d")
    return int(match[1]), _UNITS[match[2][0]]
