"""The consumer's hold on its runner: starts it, feeds it, ends its whole tree, reads what it said last."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from pqfs.channel import Channel, Message
from pqfs.duplicates import SET
from pqfs.errors import Misconfigured
from pqfs.handlers.confinement import trouble
from pqfs.handlersettings import CommandHandler, PythonHandler
from pqfs.model import Job, Place
from pqfs.runner import end_descendants
from pqfs.settings import QueueSettings, Settings
from pqfs.slot import Running, Slot
from pqfs.spool import Spool

_PASSED_ON = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
)

_DYING = 1.0  # seconds between the end of a runner's channel and its own


class RunnerLink:
    """One runner at a time; after `is_dead` bury it, and start another. Use from the thread that lives longest.

    PR_SET_PDEATHSIG follows the *thread* that spawns: started from a short-lived one, the runner would die
    with it.
    """

    def __init__(self, spool: Spool, settings: Settings, owner: str, import_path: str) -> None:
        self._spool = spool
        self._owner = owner
        self.is_down = True  # there is no runner: none was started since the last was buried
        self._slot, self._slot_descriptor = Slot.create(spool.path(f"run/{owner}.slot"))
        self._hello = {
            "root": str(spool.root),
            "owner": owner,
            "import_path": import_path,
            "low_water": int(settings.low_water),
            "environment": _environment(owner),
            "handlers": {
                name: {**specify(queue), "spool": str(spool.root), "folder": import_path}
                for name, queue in {"": settings.defaults, **settings.queues}.items()
            },
        }
        spool.make_directory(f"work/{owner}")

    def start(self) -> None:
        """Start a fresh runner.

        Raises:
            OSError: the machine has no room for one; there is none.
        """
        self._slot.end()
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as failing:
            failing.callback(ours.close)
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            self._process = self._spawn((theirs.fileno(), self._slot_descriptor))
            failing.pop_all()
        self._killed_because: str | None = None
        ours.setblocking(False)
        self.channel = Channel(ours)
        self.channel.send(self._hello)
        self.is_down = False

    def _spawn(self, descriptors: tuple[int, int]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "pqfs.runner", *map(str, descriptors), str(os.getpid())],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            env=_runner_environment(self._owner),
            start_new_session=True,  # a handler that kills its group must not take the consumer along
        )

    def send(self, jobs: Sequence[Job]) -> None:
        """Hand leased jobs to the runner, in this order."""
        if jobs:
            self.channel.send({"run": [self._assignment(job) for job in jobs]})

    def _assignment(self, job: Job) -> Message:
        return {
            "job": job.id,
            "attempt": job.attempt,
            "queue": job.queue,
            "name": os.fsdecode(job.name),
            "ready": self._spool.payload_path(job, Place.READY),
            "claimed": self._spool.payload_path(job, Place.CLAIMED),
            "generation": self._slot.generation,
            "metadata": (job.options or {}).get("metadata", {}),
            "is_set": SET in (job.options or {}),
        }

    def void(self) -> None:
        """Keep the runner from starting anything that was sent so far; what runs goes on."""
        self._slot.next_generation()

    def beat(self, now: float) -> None:
        """Note in the slot that the consumer lives (boot time)."""
        self._slot.beat(now)

    def running(self) -> Running | None:
        """The attempt that runs just now."""
        return self._slot.read()

    def results(self) -> Iterator[Message]:
        """What the runner has reported since the last call."""
        return self.channel.receive()

    @property
    def is_dead(self) -> bool:
        """Whether the runner has ended, or closed its side, and is not buried."""
        return not self.is_down and self.channel.is_closed

    def ask_to_end(self) -> None:
        """Ask for an early end of the current attempt."""
        self._process.terminate()

    def is_stopped(self) -> bool:
        """Whether the runner was stopped (SIGSTOP), and so will neither say nor end anything any more."""
        try:
            found = os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return found is not None and found.si_pid == self._process.pid

    def kill(self, because: str | None = None) -> None:
        """End the runner and every process below it, escaped ones too, and wait until they are gone."""
        self._killed_because = because
        self._process.kill()
        self._process.wait()
        end_descendants()

    def bury(self) -> tuple[list[Message], str]:
        """After its death: what it still said, and how it died, in words."""
        try:
            code = self._process.wait(_DYING)
        except subprocess.TimeoutExpired:
            self.kill("it closed its channel and went on")
            code = -signal.SIGKILL
        end_descendants()
        said = list(self.channel.drain())
        self.channel.close()
        self.is_down = True
        return said, self._killed_because or _cause(code)

    def close(self) -> None:
        """End everything; nothing is running any more, and what ran is not to blame that this process ends."""
        self.kill()
        self._slot.end()
        self.channel.close()
        self._spool.leave_scratch(self._owner)


def check_confinement(settings: Settings) -> None:
    """Refuse to start where a program could not be confined as its queue asks.

    Raises:
        Misconfigured: naming the queue and what is missing.
    """
    for name, queue in {"defaults": settings.defaults, **settings.queues}.items():
        how = queue.handler.confine if isinstance(queue.handler, CommandHandler) else "none"
        if missing := trouble(how):
            raise Misconfigured(f"{name}: confine = {how!r} is not possible. {missing}", "See: pqfs doctor")


def specify(queue: QueueSettings) -> Mapping[str, Any]:
    """A queue's handler and its limits as the plain data that the runner resolves."""
    limits = {"limits": asdict(queue.limits)}
    match queue.handler:
        case CommandHandler():
            paths = {"read": [*map(str, queue.handler.read)], "write": [*map(str, queue.handler.write)]}
            return {"kind": "command", **asdict(queue.handler), **paths, **limits}
        case PythonHandler():
            return {"kind": "python", **asdict(queue.handler), **limits}
        case name:
            return {"kind": name, **limits}


def _environment(owner: str) -> dict[str, str]:
    """What programs that handlers start get to see of our environment."""
    passed = {k: v for k, v in os.environ.items() if k in _PASSED_ON or k.startswith("LC_")}
    return {**passed, "PQFS_OWNER": owner}


def _runner_environment(owner: str) -> dict[str, str]:
    """Ours, without what opens the index: no handler has to do with that."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PQFS_INDEX", "PGPASSWORD")}
    return {**kept, "PQFS_OWNER": owner, "PYTHONUNBUFFERED": "1"}


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
