"""When a cron expression is due, in a time zone.

Where clocks are changed: what is due at fixed hours runs once, at the first moment after an hour that is left out and
the first time in one that comes twice; what is due in every hour runs by time that really passes. That is what cron
does on Debian, and the library that is asked here (cronsim).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from pqfs.clock import utc
from pqfs.errors import Misconfigured

_FIELDS = 5
_COUNTED = 10_000
_WEEK = 7 * 86400.0
_SHORT = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Timetable:
    """A cron expression of five fields, or @hourly … @yearly, and the name of a time zone."""

    cron: str
    zone: str = "UTC"

    def check(self, now: float) -> None:
        """Refuse what can not be read, and what is never due.

        Raises:
            Misconfigured: which of the two, in words.
        """
        if self.next(now) is None:
            raise Misconfigured(f"{self.cron!r} is never due.")

    def next(self, after: float) -> float | None:
        """The first due time after an instant; None when none comes within fifty years."""
        return next(self._dues(after), None)

    def between(self, after: float, until: float, most: int) -> tuple[list[float], int]:
        """The newest `most` of the due times after an instant and up to another, and how many there are.

        Above ten thousand only those of the last week are looked for: a clock that is years ahead must not keep
        anybody busy for minutes.
        """
        found = list(islice(self._up_to(after, until), _COUNTED))
        if len(found) == _COUNTED:
            found += [due for due in self._up_to(until - _WEEK, until) if due > found[-1]]
        return found[-most:], len(found)

    def _up_to(self, after: float, until: float) -> Iterator[float]:
        return takewhile(lambda due: due <= until, self._dues(after))

    def _dues(self, after: float) -> Iterator[float]:
        from cronsim import CronSim, CronSimError

        fields = _SHORT.get(self.cron.strip().lower(), self.cron).split()
        try:
            if len(fields) != _FIELDS:
                raise CronSimError("it has five fields: minute, hour, day, month, day of the week")
            found: Iterator[datetime] = CronSim(" ".join(fields), utc(after).astimezone(self._zone()))
        except CronSimError as error:
            raise Misconfigured(
                f"{self.cron!r} is no cron expression: {error}.", "For instance '0 2 * * *': every day at two."
            ) from error
        dues = (each.astimezone(UTC).timestamp() for each in found)
        return (due for due in dues if due > after)  # in an hour that comes twice it begins with the first time

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            raise Misconfigured(f"{self.zone!r} is no time zone.", "For instance UTC or Europe/Berlin.") from error
