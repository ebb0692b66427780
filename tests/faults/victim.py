"""The process that is struck: pqfs's own command line, run in a fork of this one, which has imported it already.

Nothing of pqfs is open when the fork is made, so the child is what `pqfs <command>` is, a tenth of a second
sooner. Three things differ from the real one, each for the sake of speed only: pauses are cut short, loops that
never end are asked to after a number of rounds, and the runner is a fork, too, that leaves nothing open but what
it is passed.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pqfs.consumer
import pqfs.failures
import pqfs.ground
import pqfs.index.sqlite
import pqfs.ingester
import pqfs.janitor
import pqfs.reports
import pqfs.runner
import pqfs.runnerlink
import pqfs.services
from pqfs import cli
from pqfs.runtime import Readable, Stop
from tests.faults.scenarios import Script

_STUCK = 15.0  # seconds: then it says where it stands, and ends
_SHORT = 0.01  # seconds: what a pause becomes


def begin(root: Path, prepare: Callable[[], None], script: Script) -> tuple[int, int]:
    """Fork a child that waits for a byte, then calls `prepare` and runs its script; its pid and where to write."""
    ready, go = os.pipe()
    pid = os.fork()
    if pid:
        os.close(ready)
        return pid, go
    try:
        os.close(go)
        _become(root, script)
        os.read(ready, 1)
        os.close(ready)
        prepare()
        _run(root, script)
    except BaseException:  # noqa: BLE001 -- as the interpreter does at its top
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _become(root: Path, script: Script) -> None:
    """The settings, streams and short pauses of a process of this spool."""
    os.chdir(root)
    os.environ["PQFS_CONFIG"] = str(root / "pqfs.toml")
    for descriptor, name in ((1, "out"), (2, "log")):
        file = os.open(root / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdin = open(os.devnull)  # noqa: SIM115 -- for as long as the process lives
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.dup2(sys.stdin.fileno(), 0)
    faulthandler.dump_traceback_later(_STUCK, exit=True, file=sys.stderr)
    _hurry(script.rounds)
    _exchange(pqfs.ground, _MEMORY=root / "alarms")
    _exchange(pqfs.runnerlink, subprocess=_Forks())


def _exchange(module: ModuleType, **values: object) -> None:
    for name, value in values.items():
        setattr(module, name, value)


def _hurry(rounds: int) -> None:
    _exchange(pqfs.consumer, _PAUSE=2 * _SHORT)
    _exchange(pqfs.reports, _REST=2 * _SHORT)
    _exchange(pqfs.failures, _PAUSE=0.0)
    _exchange(pqfs.index.sqlite, _WAIT=10 * _SHORT)
    if rounds:
        _exchange(pqfs.services, Stop=lambda: Rounds(rounds))


class Rounds(Stop):
    """Asks its process to end when it has gone to sleep so often; each sleep is short."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self._left = rounds

    def wait(
        self, timeout: float | None, readables: Iterable[Readable] = (), writables: Iterable[Readable] = ()
    ) -> list[int]:
        self._left -= 1
        self.requested = self.requested or self._left < 0
        return super().wait(_SHORT, readables, writables)


def _run(root: Path, script: Script) -> None:
    """Each command in turn, as a person's shell would; what each came back with goes to a file."""
    for number, arguments in enumerate(script.commands):
        try:
            code = cli.run(arguments)
        except Exception:  # noqa: BLE001 -- the interpreter's own top: a traceback and exit code 1
            traceback.print_exc()
            code = 1
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        sys.stdout.flush()
        with (root / "answers").open("a") as file:
            print(number, code, file=file)


# -------------------------------------------------------------------- the runner


class _Forks:
    """Stands in for `subprocess` in runnerlink."""

    DEVNULL = subprocess.DEVNULL
    TimeoutExpired = subprocess.TimeoutExpired

    @staticmethod
    def Popen(  # noqa: N802 -- the name that it stands in for
        command: Sequence[str],
        *,
        pass_fds: Sequence[int],
        stdin: int,
        env: Mapping[str, str],
        start_new_session: bool = False,
    ) -> _ForkedRunner:
        return _ForkedRunner(command, pass_fds, env, start_new_session)


class _ForkedRunner:
    """What runnerlink uses of a Popen."""

    def __init__(
        self, command: Sequence[str], pass_fds: Sequence[int], env: Mapping[str, str], new_session: bool
    ) -> None:
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            if new_session:
                os.setsid()
            _be_runner(command, pass_fds, env)

    def wait(self, timeout: float = 10.0) -> int:
        deadline = time.monotonic() + timeout
        while self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("the runner", timeout)
            else:
                time.sleep(_SHORT)
        return self._status

    def kill(self) -> None:
        if self._status is None:
            os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        if self._status is None:
            os.kill(self.pid, signal.SIGTERM)


def _be_runner(command: Sequence[str], pass_fds: Sequence[int], env: Mapping[str, str]) -> Any:
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        start = 3
        for descriptor in sorted(pass_fds):
            os.closerange(start, descriptor)
            os.set_inheritable(descriptor, True)
            start = descriptor + 1
        os.closerange(start, 4096)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = list(command[2:])
        pqfs.runner.main()
    except SystemExit as error:
        print(error.code, file=sys.stderr)
        os._exit(1)
    except BaseException:  # noqa: BLE001 -- as the interpreter does at its top
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
