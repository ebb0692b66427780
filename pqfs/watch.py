"""Tells the ingester when to look: watchdog on the inbox, reduced to one question, *did anything happen?*.

Events are hints. They get lost (the kernel's queue overflows), come late, or stop without a word (the inbox
was replaced, a thread died); the periodic sweep stands behind all of them, and `is_armed` finds a dead watch.
From end to end it is tried with a probe: a hidden file of ours in the inbox is touched now and then, and the
watch must tell of it within two seconds.

watchdog holds back everything behind a moved-from event for half a second, and our own renames out of the
inbox would be such events: the mask below does not ask for them (measured: the next drop was seen after
450 ms instead of 0.7).
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from watchdog.events import (
    DirCreatedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)

from pqfs.events import Word, emit
from pqfs.places import PROBE

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver

_EVENTS: list[type[FileSystemEvent]] = [FileClosedEvent, FileCreatedEvent, DirCreatedEvent]
SEEN_WITHIN = 2.0
PROBE_EVERY = 1.0  # seconds at least: each probe wakes three threads
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class _Knock(FileSystemEventHandler):
    """Writes a byte into a pipe, but for the probe, whose first sight it notes without waking anybody."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.seen_at: float | None = None

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            if os.path.basename(os.fsdecode(event.src_path)) == PROBE:
                # Those that follow are other ingesters', who touch the same file.
                self.seen_at = self.seen_at or time.monotonic()
            else:
                os.write(self._descriptor, b"!")
        except Exception:  # noqa: BLE001 -- it would end the dispatching thread for good; full: the ingester was told
            pass


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

    `mode` is `inotify` (another kind of events where there is none), or `polling`: nobody is asked to watch then, and
    the ingester looks for himself.
    """

    def __init__(self, inbox: Path, mode: str) -> None:
        self._inbox = inbox
        self.is_polling = mode == "polling"
        self._read, write = os.pipe()
        for descriptor in (self._read, write):
            os.set_blocking(descriptor, False)
        self._knock = _Knock(write)
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None
        self._probed_at: float | None = None
        self._next_probe = 0.0
        self.blindness: str | None = None
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
        if fault := self._fault(self._observer):
            self._say_blind(fault)
            self.disarm()
        return self._observer is not None

    def _fault(self, observer: BaseObserver) -> str | None:
        """Why this watch sees nothing any more; None when all of it lives."""
        if not observer.is_alive():
            return "its observing thread has died"
        if not observer.emitters or not all(each.is_alive() for each in observer.emitters):
            return "its emitting thread has died"
        if self._identity != _identity(self._inbox):
            return "the directory was exchanged"
        return self._judge_probe()

    def _judge_probe(self) -> str | None:
        """What the last probe has shown. Seen in time, it also ends the blindness that was noted before."""
        if self._probed_at is None:
            return None
        seen_at = self._knock.seen_at
        is_late = (seen_at or time.monotonic()) - self._probed_at > SEEN_WITHIN
        if seen_at and not is_late:
            self.blindness = self._probed_at = None
        return f"its probe was not seen within {SEEN_WITHIN:g} s" if is_late else None

    def _say_blind(self, cause: str) -> None:
        """Note that the watch is blind until a probe is seen again; logged once for each cause."""
        if cause != self.blindness:
            emit(Word.BLIND, what=f"the watch on the inbox: {cause}; the inbox is swept")
        self.blindness = cause

    def probe(self) -> None:
        """Try the watch from end to end, unless the last trial is still open. Seen or not, nobody is woken by it."""
        before = time.monotonic()
        if before < self._next_probe or self._probed_at is not None:
            return
        if self._observer is None or sys.platform != "linux":  # elsewhere nothing tells of a file that was closed
            return
        self._next_probe = before + PROBE_EVERY
        self._knock.seen_at = None
        try:
            self._touch(self._inbox / PROBE)
        except OSError as error:
            if error.errno not in _NO_ROOM:  # a full disk has a rule of its own
                self._say_blind(f"its probe {PROBE} can not be touched: {error.strerror}")
        else:
            self._probed_at = before

    def _touch(self, probe: Path) -> None:
        """Close the probe after opening it for writing: an event that the watch asks for, and nothing for the disk.

        Links are not followed, and a pipe does not block; what somebody else has put there under this name goes.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            os.close(os.open(probe, flags, 0o600))
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENXIO):
                raise
            probe.unlink()
            os.close(os.open(probe, flags, 0o600))

    def close(self) -> None:
        """Stop watching and take the probe away."""
        self.disarm()
        try:
            (self._inbox / PROBE).unlink(missing_ok=True)
        except OSError:
            pass  # hidden and empty: the next ingester uses it

    def arm(self) -> bool:
        """Start to watch. Where that fails, the periodic sweep goes on alone; the next call tries again."""
        self.disarm()
        try:
            self._inbox.mkdir(mode=0o750, exist_ok=True)
            if self.is_polling:
                return False
            identity = _identity(self._inbox)
            observer = self._make_observer()
            observer.schedule(self._knock, str(self._inbox), recursive=True, event_filter=_EVENTS)
            observer.start()
        except OSError as error:
            self._say_blind(f"it can not be watched: {error.strerror}")
            return False
        self._observer, self._identity = observer, identity
        self._next_probe = 0.0
        return True

    def disarm(self) -> None:
        """Stop watching."""
        observer, self._observer, self._probed_at = self._observer, None, None
        if observer is not None:
            observer.stop()
            observer.join()

    def _make_observer(self) -> BaseObserver:
        try:
            from pqfs.arrivals import ArrivalObserver  # Linux only: its module needs inotify
        except (ImportError, OSError):
            from watchdog.observers import Observer

            return Observer()
        return ArrivalObserver(lambda event: self._knock.dispatch(event))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
