"""A watchdog observer whose kernel mask asks for arrivals only: created, closed after writing, moved to.

watchdog derives its mask from the event filter, and every filter that sees renames into a directory also asks
for renames out of it (7.1). Those are our own moves, and each would delay what follows by half a second.
"""

from __future__ import annotations

from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter, InotifyObserver
from watchdog.observers.inotify_c import InotifyConstants, InotifyFD, Mask


class ArrivalEmitter(InotifyEmitter):
    """Reports what appears in a directory, never what leaves it."""

    def get_event_mask_from_filter(self) -> Mask:
        """The inotify mask; IN_DELETE_SELF lets watchdog notice that the directory itself went."""
        return Mask(
            InotifyConstants.IN_CREATE
            | InotifyConstants.IN_CLOSE_WRITE
            | InotifyConstants.IN_MOVED_TO
            | InotifyConstants.IN_DELETE_SELF
        )


class ArrivalObserver(InotifyObserver):
    """An inotify observer with that emitter."""

    def __init__(self) -> None:
        self._inotify_fd = InotifyFD()
        self._inotify_fd.start()
        BaseObserver.__init__(self, ArrivalEmitter, inotify_fd=self._inotify_fd)
