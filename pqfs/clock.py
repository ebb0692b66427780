"""The only reader of time.

Instants are Unix seconds (UTC, float) everywhere in pqfs; durations are seconds (float). Below this module
time is an argument called `now`. Liveness is measured with CLOCK_BOOTTIME, which counts through suspend and
which nobody can set, so that a step of the wall clock never revokes a live owner.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS has no CLOCK_BOOTTIME

# What the calendar can show, less a day at each end, so that every time zone can show it too.
_FIRST = datetime(1, 1, 2, tzinfo=UTC).timestamp()
_LAST = datetime(9999, 12, 30, tzinfo=UTC).timestamp()


class Clock(Protocol):
    """Where pqfs asks for the time; tests pass one that they set."""

    def now(self) -> float:
        """Wall-clock time in Unix seconds."""

    def boottime(self) -> float:
        """Seconds since boot, suspend included; the same for every process of this host."""


class SystemClock:
    """The host's clocks."""

    def now(self) -> float:
        """Wall-clock time in Unix seconds."""
        return time.time()

    def boottime(self) -> float:
        """Seconds since boot, suspend included."""
        return time.clock_gettime(_BOOTTIME)


class SharedClock(SystemClock):
    """A clock that several hosts share. `at_boot`: what it showed when this host was started, as last heard."""

    def __init__(self, at_boot: Callable[[], float]) -> None:
        self._at_boot = at_boot

    def now(self) -> float:
        """The shared time, told on by this host's own boot time until it is heard of again."""
        return self._at_boot() + self.boottime()


def boot_id() -> str:
    """Name this boot of this host, so that boot times of another boot are never compared with ours."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux: the boot's second is as good a name
        return f"boot-{round(time.time() - time.clock_gettime(_BOOTTIME), -1):.0f}"


def utc(instant: float) -> datetime:
    """An instant on the calendar; one that is not on it is told as the calendar's first or last day."""
    return datetime.fromtimestamp(min(max(_FIRST, instant), _LAST), UTC)


def iso(instant: float) -> str:
    """`2026-11-22T04:31:26.123456Z`, the form used in outputs, logs and JSON."""
    return utc(instant).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> float:
    """Read an ISO 8601 instant; without a zone it is taken as local time.

    Raises:
        ValueError: it is none.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except OverflowError as error:
        raise ValueError(f"{text!r} is not on the calendar") from error


@lru_cache(maxsize=16)  # a batch ends at one instant
def stamp(instant: float) -> str:
    """`20261122T043126.123456Z`: sorts by time and is a plain file name."""
    return utc(instant).strftime("%Y%m%dT%H%M%S.%fZ")


def parse_stamp(text: str) -> float:
    """The instant of a stamp.

    Raises:
        ValueError: it is none.
    """
    return datetime.strptime(text, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp()


@lru_cache(maxsize=16)
def day(instant: float) -> str:
    """`2026-11-22` in UTC: the name of a directory below done/."""
    return utc(instant).strftime("%Y-%m-%d")


def parse_day(text: str) -> float | None:
    """The instant at which a day of UTC begins; None when the text is not a day."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
