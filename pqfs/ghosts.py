"""Files of the inbox that have a second name: another's, or the other end of a move of ours that was interrupted.

A loss of power may leave both names of a move (btrfs), and so may link and unlink where there is no better rename.
Which it is tells only a walk over all payloads, so one is made at most once a minute, for all of them together:
else a producer of hard links could keep the ingester walking.
"""

from __future__ import annotations

import os

from pqfs import naming
from pqfs.clock import Clock
from pqfs.events import Word, emit
from pqfs.inbox import Entry, Inbox
from pqfs.intake import Intake
from pqfs.places import identity
from pqfs.spool import Spool

_WALK_EVERY = 60.0
_Inode = tuple[int, int]


class Ghosts:
    """Notes files with two names during a sweep and, at its end, removes the names that are ghosts."""

    def __init__(self, spool: Spool, inbox: Inbox, intake: Intake, clock: Clock) -> None:
        self._spool = spool
        self._inbox = inbox
        self._intake = intake
        self._clock = clock
        self._noted: dict[_Inode, Entry] = {}
        self._foreign: set[_Inode] = set()
        self._next_walk = float("-inf")

    def note(self, entry: Entry, found: os.stat_result) -> None:
        """This entry has a second name."""
        self._noted[found.st_dev, found.st_ino] = entry

    def lay(self) -> None:
        """Remove the ghosts among what was noted since the last call."""
        noted, self._noted = self._noted, {}
        self._foreign &= noted.keys()
        unknown = noted.keys() - self._foreign
        now = self._clock.boottime()
        if not unknown or now < self._next_walk:
            return
        self._next_walk = now + _WALK_EVERY
        ours = self._twins()
        for inode in unknown:
            if inode in ours:
                self._remove(noted[inode], inode)
            else:
                self._foreign.add(inode)

    def _twins(self) -> set[_Inode]:
        """Our payloads, and what we have refused, that have another name."""
        paths = [path for path, _ in self._spool.payloads()]
        found = map(self._spool.status, paths + [f"rejected/{name}" for name in self._spool.entries("rejected")])
        return {(each.st_dev, each.st_ino) for each in found if each is not None and each.st_nlink > 1}

    def _remove(self, entry: Entry, inode: _Inode) -> None:
        try:
            directory = self._inbox.open_parent(entry)
        except OSError:
            return  # its folder has gone: the next sweep looks again
        try:
            found = os.stat(os.path.basename(entry.path), dir_fd=directory, follow_symlinks=False)
            if (found.st_dev, found.st_ino) == inode:
                self._intake.remove(directory, entry, identity(found))
                emit(Word.RECONCILED, ghost=naming.printable(entry.path))
        except OSError:
            return  # the same
        finally:
            os.close(directory)
