"""Whether the index is still one that this process may work on: asked again and again, by whoever runs for long.

A newer pqfs may have brought it up to date while this host slept, or was cut off: then this process has been given up
by the others, and knows less of the index than stands in it.
"""

from __future__ import annotations

from pqfs.clock import Clock
from pqfs.index import Index

EVERY = 5.0  # seconds; a process that slept longer asks before it does anything else


class Vigil:
    """Looks after one process's index: call `look` wherever its loop begins anew."""

    def __init__(self, index: Index, clock: Clock) -> None:
        self._index = index
        self._clock = clock
        self._due = clock.boottime() + EVERY  # it has just been opened, and was looked at then

    def look(self) -> None:
        """Ask, if the last time is long enough ago.

        Raises:
            SchemaTooNew: a newer pqfs works on it.
            Unavailable: it can not be asked.
        """
        now = self._clock.boottime()
        if now >= self._due:
            self._index.engine.refuse_other_schema()
            self._due = now + EVERY
