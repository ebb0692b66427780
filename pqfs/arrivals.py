"""A watchdog observer whose kernel mask asks for arrivals only: created, closed after writing, moved to.

watchdog derives its mask from the event filter, and every filter that sees renames into a directory also asks
for renames out of it (7.1). Those are our own moves, and each would delay what follows by half a second.

And it tells at once: watchdog's way by a queue to a dispatching thread costs half a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from watchdog.events import FileSystemEvent
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter, InotifyObserver
from watchdog.observers.inotify_c import InotifyConstants, InotifyFD, Mask


class ArrivalEmitter(InotifyEmitter):
    """Reports what appears in a directory, never what leaves it, to `told` in its own thread."""

    def __init__(self, *arguments: Any, told: Callable[[FileSystemEvent], None], **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._told = told

    def queue_event(self, event: FileSystemEvent) -> None:
        """Tell of an event that the watch has asked for."""
        if self._event_filter is None or isinstance(event, tuple(self._event_filter)):
            self._told(event)

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

    def __init__(self, told: Callable[[FileSystemEvent], None]) -> None:
        self._inotify_fd = InotifyFD()
        self._inotify_fd.start()
        emitter = cast("type[ArrivalEmitter]", partial(ArrivalEmitter, told=told))
        BaseObserver.__init__(self, emitter, inotify_fd=self._inotify_fd)
