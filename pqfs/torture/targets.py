"""The processes of one scratch stack, each told by its number and the instant at which it began; and no other.

A process belongs to the stack when it descends from its supervisord, or from an owner that holds a lock in its
run/. It is signalled through a pidfd that is opened first and asked afterwards, so that no number that was given
anew is ever hit.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pqfs.owners import Facts, Owners
from pqfs.runner import descendants
from pqfs.slot import Running, read_slot
from pqfs.torture.ground import Ground
from pqfs.torture.plan import Kind


@dataclass(frozen=True, slots=True)
class Target:
    """One process: what it is, whose it is, and (of a handler) the attempt that it runs."""

    kind: Kind
    pid: int
    began: int
    owner: str | None = None
    job: str | None = None
    attempt: int | None = None

    def hit(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it has ended meanwhile."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if _began(self.pid) != self.began:
                return False
            signal.pidfd_send_signal(descriptor, number)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    @property
    def is_there(self) -> bool:
        """Whether it has not ended."""
        return _began(self.pid) == self.began


class Census:
    """Who belongs to the stack of one ground, asked anew each time."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._owners = Owners(ground.run)

    def all(self) -> list[Target]:
        """Every process of the stack, supervisord first and parents before their children."""
        owners = {facts.pid: facts for facts in self._owners.living()}
        supervisord = self.supervisord()
        roots = [*([supervisord.pid] if supervisord else []), *owners]
        found: dict[int, Target] = {supervisord.pid: supervisord} if supervisord else {}
        for root in roots:
            for pid in (root, *descendants(root)):
                if pid not in found and (target := self._target(pid, owners.get(pid))):
                    found[pid] = target
        return list(found.values())

    def of(self, kind: Kind) -> list[Target]:
        """Those of one kind."""
        return [target for target in self.all() if target.kind is kind]

    def supervisord(self) -> Target | None:
        """The supervisord of this ground, if it lives."""
        try:
            pid = int((self._ground.run / "supervisord.pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        began = _began(pid)
        is_ours = os.fsencode(self._ground.run / "supervisord.conf") in words
        return Target(Kind.SUPERVISORD, pid, began) if is_ours and began is not None else None

    def running(self, owner: str | None) -> Running | None:
        """What a consumer's slot says that it runs."""
        return read_slot(self._ground.run / f"{owner}.slot") if owner else None

    def _target(self, pid: int, facts: Facts | None) -> Target | None:
        began = _began(pid)
        if began is None or pid == os.getpid():
            return None
        if facts is not None:
            kind = _PROGRAMS.get(facts.program.partition("-")[0])
            return Target(kind, pid, began, facts.owner) if kind else None
        return self._below(pid, began)

    def _below(self, pid: int, began: int) -> Target | None:
        """A process that holds no lock: a runner, a handler, or what a handler left; None while it is none yet."""
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            marks = dict(_marks(Path(f"/proc/{pid}/environ").read_bytes()))
        except OSError:
            return None
        owner = marks.get("PQFS_OWNER")
        if b"pqfs.runner" in words:
            # Race: what a runner has forked and not yet begun has its words, and not its parent, whom they name.
            return Target(Kind.RUNNER, pid, began, owner) if _parent(pid) in words else None
        if "PQFS_JOB" not in marks:
            return None
        kind = Kind.GRANDCHILD if b"grandchild" in words else Kind.HANDLER
        return Target(kind, pid, began, owner, marks["PQFS_JOB"], int(marks["PQFS_ATTEMPT"]))


_PROGRAMS = {"ingester": Kind.INGESTER, "janitor": Kind.JANITOR, "consumer": Kind.CONSUMER}


def _marks(environ: bytes) -> Iterator[tuple[str, str]]:
    for each in environ.split(b"\0"):
        name, _, value = each.partition(b"=")
        if name.startswith(b"PQFS_"):
            yield name.decode(), value.decode(errors="replace")


def _began(pid: int) -> int | None:
    """When a process began, in the kernel's ticks; None when there is none, or only its remains."""
    fields = _stat(pid)
    return None if not fields or fields[0] in (b"Z", b"X") else int(fields[19])


def _parent(pid: int) -> bytes | None:
    fields = _stat(pid)
    return fields[1] if fields else None


def _stat(pid: int) -> list[bytes]:
    """What /proc says of a process after its name: state, parent …; nothing when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


def sweep_away(ground: Ground) -> None:
    """End everything of the stack, however often its supervisord begins something anew meanwhile."""
    while strays := left_behind(ground):
        for stray in strays:
            stray.hit(signal.SIGKILL)
        time.sleep(0.05)


def left_behind(ground: Ground) -> list[Target]:
    """Processes that carry this ground's marks although its stack has ended; a supervisord first."""
    found = [_stray(ground, int(entry.name)) for entry in Path("/proc").glob("[0-9]*")]
    return sorted(filter(None, found), key=lambda stray: stray.kind is not Kind.SUPERVISORD)


def _stray(ground: Ground, pid: int) -> Target | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        marks = dict(_marks(Path(f"/proc/{pid}/environ").read_bytes()))
    except OSError:
        return None
    root = os.fsencode(ground.root)
    if os.fsencode(ground.run / "supervisord.conf") in words:
        kind = Kind.SUPERVISORD
    elif marks.get("PQFS_SPOOL") == str(ground.spool):
        kind = Kind.CONSUMER
    elif "PQFS_OWNER" in marks and any(root in word for word in words):
        kind = Kind.HANDLER
    else:
        return None
    began = _began(pid)
    return None if began is None else Target(kind, pid, began, marks.get("PQFS_OWNER"))
