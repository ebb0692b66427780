"""Instants as people write them: ISO 8601, or how long ago."""

from __future__ import annotations

from pqfs.clock import parse_iso
from pqfs.durations import parse_duration
from pqfs.errors import Misconfigured


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
