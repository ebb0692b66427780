"""Talks with the supervisord of one spool, over its unix socket.

Trust: whoever may write to the socket (mode 0700) may start and stop what the table names. Answers are read
as data and checked for nothing more: they come from a process of the same user.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ProtocolError, ServerProxy, Transport

from pqfs.errors import NotRunning, Unavailable
from pqfs.vitals import Program

_REMIND_EVERY = 3.0
_SHUTTING_DOWN = 6  # a fault of supervisor's: Faults.SHUTDOWN_STATE
_DONE_ALREADY = {"startProcess": 60, "stopProcess": 70}  # Faults.ALREADY_STARTED, NOT_RUNNING
_SILENCE = (OSError, http.client.HTTPException, ProtocolError)


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the table. `name` is consumer-00, `group` consumer; `uptime` in seconds."""

    name: str
    group: str
    state: str
    pid: int
    uptime: float
    trouble: str

    @property
    def is_spare(self) -> bool:
        """Whether it is a slot that nobody has asked for."""
        return self.state == "STOPPED"


class Stopping(Unavailable):
    """The supervisord of this spool is shutting down, and answers nothing else."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.fspath(self._path))


class _Transport(Transport):
    """XML-RPC over a unix socket. The one that supervisor has brings its web server with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """A connection to the socket, whatever the host."""
        connection = _Connection(self._path)
        self._connection = host, connection
        return connection


class Supervisor:
    """The supervisord of one spool. Verbs raise NotRunning when nobody answers, Stopping when it shuts down."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._transport = _Transport(path)
        self._calls = ServerProxy("http://127.0.0.1", transport=self._transport).supervisor

    def is_listening(self) -> bool:
        """Whether somebody listens on the socket, busy or not."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2.0)
            try:
                probe.connect(os.fspath(self._path))
            except TimeoutError:
                return True
            except OSError:
                return False
        return True

    def pid(self) -> int:
        """The pid of supervisord itself."""
        return int(self._call("getPID"))

    def processes(self) -> list[Process]:
        """Every process of the table, in the order of the table."""
        return [_process(each) for each in self._call("getAllProcessInfo")]

    def start(self, process: Process) -> None:
        """Start one process, without waiting."""
        self._call("startProcess", f"{process.group}:{process.name}", False)

    def stop(self, process: Process) -> None:
        """Ask one process to end, without waiting."""
        self._call("stopProcess", f"{process.group}:{process.name}", False)

    def signal(self, process: Process, name: str) -> None:
        """Send one process a signal (`USR1`)."""
        self._call("signalProcess", f"{process.group}:{process.name}", name)

    def shut_down(self) -> None:
        """Ask supervisord to stop everything and end."""
        self._call("shutdown")

    def _call(self, verb: str, *arguments: Any) -> Any:
        try:
            return getattr(self._calls, verb)(*arguments)
        except _SILENCE as error:
            raise NotRunning("pqfs is not running on this spool.", "Start it: pqfs up") from error
        except Fault as fault:
            if fault.faultCode == _SHUTTING_DOWN:
                raise Stopping("pqfs is stopping on this spool.", "Look: pqfs ps") from fault
            if fault.faultCode == _DONE_ALREADY.get(verb):
                return None
            raise Unavailable(f"supervisord says: {fault.faultString}.") from fault
        finally:
            self._transport.close()


def leave(run: Path) -> None:
    """Have supervisor stop this process of its own, which is about to end, instead of starting it again.

    Nothing happens where no supervisor has started it, or where it is gone.
    """
    name, group = (os.environ.get(f"SUPERVISOR_{which}_NAME", "") for which in ("PROCESS", "GROUP"))
    if "SUPERVISOR_ENABLED" not in os.environ:
        return
    try:
        Supervisor(run / "supervisor.sock").stop(Process(name, group, "", os.getpid(), 0.0, ""))
    except Unavailable:
        return  # it is ending itself, or has ended us already


def programs(run: Path) -> list[Program] | None:
    """What the rules of health want to know of the table; None when supervisord does not run or is stopping."""
    try:
        found = Supervisor(run / "supervisor.sock").processes()
    except Unavailable:
        return None
    return [Program(each.name, each.state, each.trouble, each.uptime) for each in found if not each.is_spare]


def _process(info: dict[str, Any]) -> Process:
    is_up = bool(info["pid"])
    uptime = max(0.0, float(info["now"] - info["start"])) if is_up else 0.0
    return Process(info["name"], info["group"], info["statename"], info["pid"], uptime, info["spawnerr"])


def wait_for_end(pid: int, deadline: float) -> bool:
    """Wait until a supervisord that was asked to end is gone, up to an instant of time.monotonic; whether it is.

    Its children are reminded every few seconds. Race: supervisord forks a child; TERM comes before the child has
    become our program, and is taken by the Python code that both share; the program never hears of it.
    """
    remind_at = time.monotonic() + _REMIND_EVERY
    while _is_there(pid):
        now = time.monotonic()
        if now >= deadline:
            return False
        if now >= remind_at:
            _remind(pid)
            remind_at = now + _REMIND_EVERY
        time.sleep(0.02)
    return True


def _remind(pid: int) -> None:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        try:
            os.kill(int(child), signal.SIGTERM)  # to a process that drains already it means nothing new
        except ProcessLookupError:
            continue


def _is_there(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return _answers_signals(pid) if not Path("/proc/self").exists() else False
    return stat.rpartition(b")")[2].split()[0] != b"Z"


def _answers_signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
