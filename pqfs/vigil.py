"""Whether the index is still one that this process may work on: asked again and again, by whoever runs for long.

A newer pqfs may have brought it up to date while this host slept, or was cut off: then this process has been given up
by the others, and knows less of the index than stands in it. On a server an older dump may have been put in its
place: that has forgotten what was done since. Whoever opens it when everybody has ended brings it up to date.
"""

from __future__ import annotations

from pqfs.clock import Clock
from pqfs.custody import refuse_exchanged
from pqfs.index import Index
from pqfs.spool import Spool

EVERY = 5.0  # seconds; a process that slept longer asks before it does anything else


class Vigil:
    """Looks after one process's index: call `look` wherever its loop begins anew."""

    def __init__(self, spool: Spool, index: Index, clock: Clock) -> None:
        self._spool = spool
        self._index = index
        self._clock = clock
        self._due = clock.boottime() + EVERY  # it has just been opened, and was looked at then

    def look(self) -> None:
        """Ask, if the last time is long enough ago.

        Raises:
            SchemaTooNew: a newer pqfs works on it.
            IndexGone: it was exchanged for an older one, or another spool's.
            Unavailable: it can not be asked.
        """
        now = self._clock.boottime()
        if now >= self._due:
            refuse_exchanged(self._spool, self._index)
            self._index.engine.refuse_other_schema()
            self._due = now + EVERY
