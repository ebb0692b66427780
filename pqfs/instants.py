"""Instants as people write them: ISO 8601, or how long ago."""

from __future__ import annotations

from pqfs.clock import parse_iso
from pqfs.durations import parse_duration
from pqfs.errors import Misconfigured
from pqfs.model import check_ready_at

_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MOST = 1_000_000


def instant(text: str | None, now: float) -> float | None:
    """`2026-11-22`, `2026-11-22T10:00:00Z`, or `2h`: so long before now.

    Raises:
        Misconfigured: it is neither.
    """
    if text is None:
        return None
    try:
        return now - parse_duration(text.removesuffix(" ago"))
    except ValueError:
        pass
    try:
        return parse_iso(text)
    except ValueError as error:
        raise Misconfigured(
            f"{text!r} is no instant.", "Write it as 2026-11-22, 2026-11-22T10:00:00Z, or as 2h: so long ago."
        ) from error


def seconds(text: str | None) -> float | None:
    """A duration: `90s`, `5m`, `2h`, `7d`.

    Raises:
        Misconfigured: it is none.
    """
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Misconfigured(f"{text!r} is no duration.", "Write it as 90s, 5m, 2h or 7d.") from error


def due(at: str | None, delay: str | None, now: float) -> float:
    """The instant that `--at` (an instant, or `now`) or `--delay` means.

    Raises:
        Misconfigured: neither, both, one that can not be read, or one for which no job can be scheduled.
    """
    if (at is None) == (delay is None):
        raise Misconfigured("Say --at or --delay, one of the two.")
    try:
        found = now + (seconds(delay) or 0.0) if at is None else now if at == "now" else parse_iso(at)
        check_ready_at(found, now)
    except ValueError as error:
        raise Misconfigured(f"{str(error).rstrip('.')}.", "Write --at as 2026-11-22T10:00:00Z.") from error
    return found


def rate(text: str | None) -> float | None:
    """How many a second: `10/s`, `100/m`, `5000/h`.

    Raises:
        Misconfigured: it is none of these.
    """
    if text is None:
        return None
    count, _, unit = text.replace(" ", "").partition("/")
    if unit not in _PERIODS or not count.isdecimal() or not 0 < int(count) <= _MOST:
        raise Misconfigured(f"{text!r} is no rate.", "Write it as 10/s, 100/m or 5000/h.")
    return int(count) / _PERIODS[unit]
