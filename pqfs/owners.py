"""Who is alive: each process that may hold files has a name of its own and a kernel lock that dies with it.

An owner is named `<program>.<pid>.<8 hex>`, unique per start; where several hosts share the index, `.<host>` follows.
It holds `flock` on run/<owner>.lock; the kernel releases that lock at death, however it comes. It is taken under a
temporary name and then renamed into view, so that a lock file in view is either held or dead. *Missing* is not
*free*: where somebody cleaned run/, the process table is asked.

flock belongs to the open file description, so every descriptor here is close-on-exec: a handler's grandchild
must not keep a dead consumer alive.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

_SUFFIX = ".lock"


class Life(Enum):
    """What the kernel says about an owner."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a lock file says about its owner. `started_at` is Unix seconds."""

    owner: str
    program: str
    pid: int
    boot_id: str
    started_at: float


class OwnerLock:
    """A name and the lock that proves that it lives. Close it to give both up."""

    def __init__(self, run: Path, program: str, boot_id: str, now: float, host: str | None = None) -> None:
        self.name = f"{program}.{os.getpid()}.{os.urandom(4).hex()}{f'.{host}' if host else ''}"
        self._path = run / f"{self.name}{_SUFFIX}"
        scratch = run / f".{self.name}.tmp"
        self._descriptor = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        facts = {"program": program, "pid": os.getpid(), "boot_id": boot_id, "started_at": now}
        os.write(self._descriptor, json.dumps(facts).encode())
        try:
            os.rename(scratch, self._path)
        except OSError:
            if not _is_at(self._descriptor, self._path):  # an error is believed only if it did not happen
                raise

    def release(self) -> None:
        """Remove the lock file, then let the lock go: nobody ever sees it free without a death."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def abandon(self) -> None:
        """Let the lock go and leave its file: whoever finds it free reaps what this owner left, as after a death."""
        os.close(self._descriptor)


class Elsewhere(Protocol):
    """Who knows of the owners on other hosts."""

    def __call__(self, owner: str) -> Life:
        """Whether an owner lives."""

    @property
    def is_in_doubt(self) -> bool:
        """Whether there is somebody of whom more will be known in a moment."""


class Owners:
    """Asks the kernel about the owners of one spool; `elsewhere` about those that are not of this `host`."""

    def __init__(self, run: Path, host: str | None = None, elsewhere: Elsewhere | None = None) -> None:
        self._run = run
        self._host = host
        self._elsewhere = elsewhere

    def names(self) -> list[str]:
        """Every owner with a lock file, dead or alive."""
        return sorted(entry.name.removesuffix(_SUFFIX) for entry in self._lock_files())

    def _lock_files(self) -> Iterator[Path]:
        try:
            yield from (path for path in self._run.iterdir() if path.name.endswith(_SUFFIX) and path.name[0] != ".")
        except FileNotFoundError:
            return

    def life(self, owner: str) -> Life:
        """Whether an owner lives. Only the lock proves death; without one the process table is asked."""
        try:
            descriptor = os.open(self._run / f"{owner}{_SUFFIX}", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            if self.is_of_here(owner):
                return _life_by_process(owner)
            return self._elsewhere(owner) if self._elsewhere else Life.UNKNOWN
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return Life.ALIVE
        finally:
            os.close(descriptor)
        return Life.DEAD

    def is_dead(self, owner: str) -> bool:
        """Whether an owner's death is proved."""
        return self.life(owner) is Life.DEAD

    def is_of_here(self, owner: str) -> bool:
        """Whether it is this host that knows of an owner."""
        return host_of(owner) in (None, self._host)

    @property
    def is_in_doubt(self) -> bool:
        """Whether a death on another host may be proved by asking again in a moment."""
        return self._elsewhere is not None and self._elsewhere.is_in_doubt

    def facts(self, owner: str) -> Facts | None:
        """What the lock file says; None when it is gone or unreadable."""
        try:
            found = json.loads((self._run / f"{owner}{_SUFFIX}").read_bytes())
            return Facts(owner, found["program"], found["pid"], found["boot_id"], found["started_at"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def living(self) -> list[Facts]:
        """The owners that live now, with their facts."""
        alive = (name for name in self.names() if self.life(name) is Life.ALIVE)
        return [facts for name in alive if (facts := self.facts(name))]

    def open_pidfd(self, owner: str) -> int | None:
        """A descriptor that becomes readable when this owner dies; None where that can not be had.

        Race: the owner dies and its pid is given to another process before we open it. The lock is asked
        afterwards: if it is still held, the pid was still the owner's.
        """
        facts = self.facts(owner)
        if facts is None or not hasattr(os, "pidfd_open"):
            return None
        try:
            descriptor = os.pidfd_open(facts.pid)
        except OSError:
            return None
        if self.life(owner) is Life.ALIVE:
            return descriptor
        os.close(descriptor)
        return None

    def kill(self, owner: str) -> bool:
        """End a stopped or hung owner with SIGKILL through its pidfd and wait until it is dead (2 s at most)."""
        descriptor = self.open_pidfd(owner)
        if descriptor is None:
            return self.is_dead(owner)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        deadline = time.monotonic() + 2.0
        while not self.is_dead(owner) and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.is_dead(owner)

    def forget(self, owner: str) -> None:
        """Remove what a dead owner left in run/."""
        for suffix in (_SUFFIX, ".bell", ".slot"):
            (self._run / f"{owner}{suffix}").unlink(missing_ok=True)

    def end_leftovers(self, owner: str) -> int:
        """Kill processes that an owner's handlers left behind, known by PQFS_OWNER in their environment.

        A grandchild that left its session outlives the consumer that was to end it, and could go on writing
        into what the next attempt publishes. Returns how many there were.
        """
        mark = f"PQFS_OWNER={owner}".encode()
        found = 0
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                    os.kill(int(entry.name), signal.SIGKILL)
                    found += 1
            except OSError:
                continue  # ended meanwhile, or not ours
        return found


def host_of(owner: str) -> str | None:
    """The host that stands in an owner's name; None where there is only one."""
    return owner.split(".", 3)[3] if owner.count(".") == 3 else None


def ask_to_end(owners: Owners, asked: Container[str] = ()) -> list[Facts]:
    """Ask the living services of a spool to drain and end, but for owners that were `asked` before; whom it asked."""
    found = []
    for facts in owners.living():
        if facts.owner in asked or not facts.program.startswith(("ingester", "consumer", "janitor", "courier")):
            continue  # a command ends by itself
        descriptor = owners.open_pidfd(facts.owner)
        if descriptor is not None:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            os.close(descriptor)
            found.append(facts)
    return found


class ProgramLock:
    """The right to run as one program (`consumer-00`): a second set never runs under the same names."""

    def __init__(self, run: Path, program: str) -> None:
        self._path = run / f"{program}.program"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def acquire(self, wait: float) -> bool:
        """Wait until the process that runs under this name is gone, `wait` seconds at most."""
        deadline = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.05)
            else:
                return True

    def release(self) -> None:
        """Give the name up. A name that ends in our pid was made for this start only: its file goes too."""
        if self._path.stem.endswith(f"-{os.getpid()}"):
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _life_by_process(owner: str) -> Life:
    """Ask the process table about an owner whose lock file is gone: dead only if its pid is not pqfs any more."""
    _, _, rest = owner.partition(".")
    pid = rest.partition(".")[0]
    if not pid.isdigit():
        return Life.UNKNOWN
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return Life.DEAD if Path("/proc/self/cmdline").exists() else Life.UNKNOWN
    except OSError:
        return Life.UNKNOWN
    return Life.UNKNOWN if b"pqfs" in command else Life.DEAD
