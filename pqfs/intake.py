"""What ingestion removes from the inbox without making it a job: refusals, and what is known to be no longer needed.

Both are moves out of reach of producers first. A name in the inbox may mean another file at any moment, so nothing
is unlinked there by its name alone.
"""

from __future__ import annotations

import errno
import os

from pqfs import naming
from pqfs.clock import Clock
from pqfs.events import Word, emit
from pqfs.inbox import Entry
from pqfs.jobqueue import JobQueue
from pqfs.naming import JobIds
from pqfs.places import Identity

# What one object alone can cause, whoever touches it: it must not be moved, or something is mounted on it.
ITS_OWN = frozenset({errno.EACCES, errno.EPERM, errno.EXDEV, errno.EBUSY, errno.ENOTDIR})


class Intake:
    """The door of one ingester. `directory` is always a descriptor of the folder that holds the entry."""

    def __init__(self, jobqueue: JobQueue, owner: str, clock: Clock, ids: JobIds) -> None:
        self._spool = jobqueue.spool
        self._notices = jobqueue.notices
        self._owner = owner
        self._clock = clock
        self._ids = ids

    def reject(
        self, directory: int, entry: Entry, reason: str, job: str | None = None, told: bytes | None = None
    ) -> bool:  # fmt: skip
        """Put an entry into rejected/, its reason beside it. False: its producer has taken it away.

        `told`: the name under which producers and hooks hear of it, if not its own; empty: they hear of the whole
        that it is a part of.
        """
        now = self._clock.now()
        said = {
            "name": naming.printable(entry.name), "queue": entry.queue, "reason": reason, "at": now,
            "size": entry.size, "job": job,
        }  # fmt: skip
        number = self._ids.next(now)
        if told != b"":
            self._notices.refusing(entry.queue, entry.name, number, reason, now, told)
        # Crash here: a notice of a refusal that has not happened; the courier finds no object, and drops it.
        try:
            path = self._spool.reject(directory, os.path.basename(entry.path), number, said)
        except FileNotFoundError:
            return False
        self._notices.ring()
        emit(Word.REJECTED, name=naming.printable(entry.path), reason=reason, path=path)
        return True

    def remove(self, directory: int, entry: Entry, judged: Identity) -> bool:
        """Remove exactly the file that was judged. False: its name means another by now, which stays."""
        return self._spool.drop(directory, os.path.basename(entry.path), judged, self._owner)
