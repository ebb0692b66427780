"""Durations and rates as people write them: `90s`, `5m`, `2h`, `7d` (a bare number is seconds); `100/m`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?")


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


Duration = Annotated[float, BeforeValidator(parse_duration)]


def parse_rate(value: str) -> tuple[int, float]:
    """How many, in how many seconds: from `100/m`, `5000/h` or `20000/d`.

    Raises:
        ValueError: it is none of these.
    """
    match = re.fullmatch(r"([1-9]\d{0,9})\s*/\s*([mhd])", value.strip())
    if not match:
        raise ValueError(f"{value!r} is not a rate; write 100/m, 5000/h or 20000/d")
    return int(match[1]), _UNITS[match[2]]
