"""Tells the ingester when to look: watchdog on the inbox, reduced to one question, *did anything happen?*.

Events are hints. They get lost (the kernel's queue overflows), come late, or stop without a word (the inbox
was replaced, a thread died); the periodic sweep stands behind all of them, and `is_armed` finds a dead watch.

watchdog holds back everything behind a moved-from event for half a second, and our own renames out of the
inbox would be such events: the mask below does not ask for them (measured: the next drop was seen after
450 ms instead of 0.7).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import (
    DirCreatedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.polling import PollingObserver

from pqfs.events import Word, emit

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

_EVENTS: list[type[FileSystemEvent]] = [FileClosedEvent, FileCreatedEvent, DirCreatedEvent]
_POLL_EVERY = 1.0


class _Knock(FileSystemEventHandler):
    """Writes a byte into a pipe. It can not raise: an exception would end the dispatching thread for good."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            os.write(self._descriptor, b"!")
        except OSError:
            pass  # full: the ingester has been told


class _Overflow(logging.Handler):
    """watchdog's only sign of a queue overflow is a warning in its log."""

    def __init__(self, knock: _Knock) -> None:
        super().__init__(logging.WARNING)
        self._knock = knock

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage().lower():
            emit(Word.OVERFLOW, what="the kernel's event queue; the inbox is swept instead")
        self._knock.dispatch(DirCreatedEvent(""))


class Watch:
    """An observer of one directory tree that can be dropped, armed again, and asked whether it still lives.

    `mode` is `inotify`, `polling`, or `auto` (inotify where there is one; the sweep covers the rest).
    """

    def __init__(self, inbox: Path, mode: str) -> None:
        self._inbox = inbox
        self._mode = mode
        self._read, write = os.pipe()
        for descriptor in (self._read, write):
            os.set_blocking(descriptor, False)
        self._knock = _Knock(write)
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None
        logging.getLogger("watchdog").addHandler(_Overflow(self._knock))
        logging.getLogger("watchdog").propagate = False

    def fileno(self) -> int:
        """Readable when something may have happened."""
        return self._read

    def hear(self) -> bool:
        """Forget what has been heard so far; whether there was anything."""
        try:
            return bool(os.read(self._read, 65536))
        except BlockingIOError:
            return False

    @property
    def is_armed(self) -> bool:
        """Whether observer and emitters live and the watched directory is still the one in place.

        A watch that has died is dropped here, so that the ingester arms it anew and sweeps.
        """
        if self._observer is None:
            return False
        alive = self._observer.is_alive() and all(each.is_alive() for each in self._observer.emitters)
        if alive and bool(self._observer.emitters) and self._identity == _identity(self._inbox):
            return True
        emit(Word.BLIND, what="the watch on the inbox died or its directory was replaced; arming it anew")
        self.disarm()
        return False

    def arm(self) -> bool:
        """Start to watch. Where that fails, the periodic sweep goes on alone; the next call tries again."""
        self.disarm()
        try:
            self._inbox.mkdir(mode=0o750, exist_ok=True)
            identity = _identity(self._inbox)
            observer = self._make_observer()
            observer.schedule(self._knock, str(self._inbox), recursive=True, event_filter=_EVENTS)
            observer.start()
        except OSError as error:
            emit(Word.BLIND, what="the inbox can not be watched; it is swept instead", error=error.strerror)
            return False
        self._observer, self._identity = observer, identity
        return True

    def disarm(self) -> None:
        """Stop watching."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()

    def _make_observer(self) -> BaseObserver:
        if self._mode == "polling":
            return PollingObserver(timeout=_POLL_EVERY)
        try:
            from pqfs.arrivals import ArrivalObserver  # Linux only: its module needs inotify
        except (ImportError, OSError):
            from watchdog.observers import Observer

            return Observer()
        return ArrivalObserver()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
