"""What every process of pqfs shares: a name, a lock, a loop that stops, a heartbeat.

TERM and INT mean *drain*: finish what runs, bounded, give the rest back. USR1 means *retire*: the same, however long
what runs may take. A process started by supervisord asks
the kernel for TERM when supervisord dies, so that it outlives it only long enough to notice and drain.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Protocol, Self

from pqfs import kernel
from pqfs.clock import Clock, boot_id
from pqfs.doorbell import Bell, ring
from pqfs.errors import IndexBusy, PqfsError, Stale, Unavailable, explained
from pqfs.events import Word, emit, trouble
from pqfs.owners import OwnerLock, ProgramLock
from pqfs.pulse import Pulse


class Readable(Protocol):
    """Something to wait for."""

    def fileno(self) -> int:
        """Its descriptor."""


class Stop:
    """Remembers that this process was asked to end, and wakes whoever waits."""

    def __init__(self) -> None:
        self.requested = False
        self.retiring = False  # it is to end when what runs has ended by itself
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()

    def listen(self) -> None:
        """Take TERM and INT as the request, USR1 as the wish to retire; only in a main thread."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGUSR1, self._on_wish)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True

    def _on_wish(self, number: int, frame: FrameType | None) -> None:
        self.retiring = True

    def request(self) -> None:
        """Ask this process to end, from any thread."""
        self.requested = True
        self.wake()

    def wake(self) -> None:
        """Make `wait` return."""
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            pass

    def wait(
        self, timeout: float | None, readables: Iterable[Readable] = (), writables: Iterable[Readable] = ()
    ) -> list[int]:
        """Sleep until a descriptor is ready, a signal comes, or `timeout` seconds are over; what can be read."""
        if timeout is not None and timeout <= 0:
            timeout = 0
        read = [self._read, *(each.fileno() for each in readables)]
        ready, _, _ = select.select(read, [each.fileno() for each in writables], [], timeout)
        if self._read in ready:
            try:
                os.read(self._read, 4096)
            except BlockingIOError:
                pass
        return ready


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this process is, for locks, rows and logs."""

    program: str
    owner: str
    host: str
    boot_id: str


class Presence:
    """A process's lock, bell and pulse for as long as it runs: `with Presence(...) as me:`."""

    def __init__(
        self, run: Path, program: str, clock: Clock, patience: float = 30.0, edition: tuple[str, str] | None = None,
        host: str | None = None,
    ) -> None:  # fmt: skip
        self._host = host
        self._run, self._program, self._clock, self._patience, self._edition = run, program, clock, patience, edition

    def __enter__(self) -> Self:
        self._program_lock = ProgramLock(self._run, self._program)
        if not self._program_lock.acquire(self._patience):
            self._program_lock.release()
            raise Unavailable(
                f"Another {self._program} runs on this spool.",
                "Give this one another name, or stop the other.",
            )
        boot = boot_id()
        self._lock = OwnerLock(self._run, self._program, boot, self._clock.now(), self._host)
        self.identity = Identity(self._program, self._lock.name, socket.gethostname(), boot)
        self.bell = Bell(self._run, self._lock.name)
        self.pulse = Pulse(self._run, self._program, self._lock.name, boot, self._clock, self._edition)
        emit(Word.STARTED, owner=self._lock.name)
        ring(self._run, "janitor")  # there is a new owner to watch
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bell.close()
        self.pulse.close()
        if kind is None:
            self._lock.release()
        else:
            self._lock.abandon()  # the janitor reaps whatever we left
        self._program_lock.release()
        emit(Word.STOPPED, owner=self._lock.name)


class Pause:
    """What keeps a process from its work just now: said once with its cause, and once more when it is over."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._cause: str | None = None
        self._ends_with_us = False

    def say(self, cause: str | None) -> None:
        """Log that work pauses, or (None) goes on; nothing while it stays as it was."""
        if cause != self._cause:
            emit(Word.PAUSED if cause else Word.RESUMED, what=self._what, error=cause)
            self._cause = cause
        self._ends_with_us &= cause is not None

    def blame(self, error: Exception) -> PqfsError | None:
        """Pause for an error that is being handled, and return what it means; a bug (None) is logged whole.

        Raises:
            IndexBusy, Stale: the second time running. A lock that can not be had for so long may be our own, kept by
                an unlock that failed, and a stale handle gets no better: both go when this process ends, and the next
                one begins without them.
        """
        known = explained(error)
        if known is None:
            trouble(self._what)
            return None
        self.say(known.message)
        if isinstance(known, IndexBusy | Stale):
            if self._ends_with_us:
                raise known
            self._ends_with_us = True
        return known


_GLANCE = 1.0  # seconds between two glances


class Heartbeat:
    """Calls `beat` every few seconds from a thread of its own, whatever the process is doing.

    `glance`, where there is one, is called every second; what has to be told at once is true, and `beat` is called.
    """

    def __init__(self, every: float, beat: Callable[[], None], glance: Callable[[], bool] | None = None) -> None:
        self._every, self._beat, self._glance = every, beat, glance
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop and wait for a beat under way."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic() + self._every
        while not self._over.wait(self._pause(due)):
            try:
                if (self._glance and self._glance()) or time.monotonic() >= due:
                    due = time.monotonic() + self._every
                    self._beat()
            except Exception:  # noqa: BLE001 -- the next beat may succeed; a lease lasts three
                trouble("renewing the lease")

    def _pause(self, due: float) -> float:
        left = max(0.0, due - time.monotonic())
        return min(_GLANCE, left) if self._glance else left


def follow_supervisor() -> None:
    """Drain when supervisord dies. Nothing happens where this process was started by hand."""
    if "SUPERVISOR_ENABLED" in os.environ:
        kernel.die_with_parent(signal.SIGTERM)
        if _is_orphaned():  # Race: supervisord died while we were starting, before the kernel was asked
            signal.raise_signal(signal.SIGTERM)


def _is_orphaned() -> bool:
    try:
        return b"supervisord" not in Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    except OSError:
        return False  # not Linux


def program_name(usual: str) -> str:
    """The name given by supervisor (`consumer:consumer-00` is consumer-00), else the usual one with our pid."""
    return os.environ.get("SUPERVISOR_PROCESS_NAME") or f"{usual}-{os.getpid()}"
