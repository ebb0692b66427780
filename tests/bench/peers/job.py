"""What every peer has in common: the places, the job, and how it hears of files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing import Process
from typing import NoReturn

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

BASE = os.environ["BENCH_BASE"]
INBOX, OUTBOX, WORK = (os.path.join(BASE, name) for name in ("inbox", "outbox", "work"))
CONSUMERS = int(os.environ.get("BENCH_CONSUMERS", "2"))
PAUSE = 0.01  # seconds until a consumer that found nothing looks again


def process(path: str) -> None:
    """Do one job: stamp, bytes, sync, publish by a rename, remove the input."""
    name = os.path.basename(path)
    with open(path, "rb") as file:
        data = file.read()
    now = datetime.now(UTC)
    written = os.path.join(WORK, name)
    with open(written, "wb") as file:
        file.write(b"%s\n%s" % (now.isoformat().encode(), data))
        file.flush()
        os.fsync(file.fileno())
    os.rename(written, os.path.join(OUTBOX, output_name(now, name)))
    os.unlink(path)


def output_name(now: datetime, name: str) -> str:
    """When, and what."""
    return f"{now:%Y%m%dT%H%M%S.%fZ}_{name}"


class _Arrivals(FileSystemEventHandler):
    """Tells of each file once, whether it was written into the inbox or moved there."""

    def __init__(self, accept: Callable[[str], object]) -> None:
        self._accept = accept
        self._known = set[str]()

    def dispatch(self, event: FileSystemEvent) -> None:
        path = event.dest_path if isinstance(event, FileMovedEvent) else event.src_path
        self.tell(os.fsdecode(path))

    def tell(self, path: str) -> None:
        if path not in self._known:
            self._known.add(path)
            self._accept(path)


def feed(accept: Callable[[str], object]) -> NoReturn:
    """Accept what lies in the inbox and whatever comes, until the process is ended."""
    arrivals, observer = _Arrivals(accept), Observer()
    wanted: list[type[FileSystemEvent]] = [FileClosedEvent, FileMovedEvent, FileCreatedEvent]
    observer.schedule(arrivals, INBOX, event_filter=wanted)
    observer.start()
    for path in sorted(entry.path for entry in os.scandir(INBOX)):
        arrivals.tell(path)
    while True:
        time.sleep(60)


def employ(consume: Callable[[], None], consumers: int = CONSUMERS) -> None:
    """Start consumers, each a process of its own; before any thread is there, which a fork would not take along."""
    for _ in range(consumers):
        Process(target=consume, daemon=True).start()
