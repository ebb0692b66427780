"""Runs a program on the payload: an argument template, no shell, and an exit code that says how it went."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pqfs.errors import HandlerVerdict, Misconfigured, Permanent, PqfsError, RetryLater
from pqfs.handlers import JobContext
from pqfs.handlers.confinement import Confinement
from pqfs.handlers.limits import Limits

LAUNCH = str(Path(__file__).with_name("launch.py"))
_BRACES = re.compile(r"\{\{(\w+)\}\}|\{(input|output|output_dir)\}")


class CommandFailed(PqfsError):
    """The program ended with a code that means failure, or by a signal."""

    def __init__(self, message: str, exit_code: int | None) -> None:
        super().__init__(message)
        self.exit_status = exit_code


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a program ended: its code (negative for a signal), the CPU seconds and the most memory that it used."""

    code: int
    seconds: float
    peak_bytes: int


class CommandRunner:
    """One command template. `{input}`, `{output}` and `{output_dir}` in its arguments stand for paths."""

    def __init__(self, specification: Mapping[str, Any]) -> None:
        self._template: Sequence[str] = specification["command"]
        self._done = frozenset(specification.get("done", (0,)))
        self._retry_later = frozenset(specification.get("retry_later", ()))
        self._permanent = frozenset(specification.get("permanent", ()))
        self._environment: Mapping[str, str] = specification.get("environment", {})
        self._prints_output = specification.get("stdout") == "output"
        self._unpacks = bool(specification.get("unpack"))
        self._folder = str(specification.get("folder", ""))
        self._limits = Limits.of(specification)
        self._confinement = Confinement.of(specification)

    def __call__(self, context: JobContext) -> None:
        """Run the program and wait for it.

        Raises:
            CommandFailed, RetryLater, Permanent: as the exit code says.
            Misconfigured: there is no such program to run.
        """
        program, *arguments = (self._fill(argument, context) for argument in self._template)
        environment = {**context.environment, **self._environment}
        context.traces.program = self._find(program, environment, context.queue)
        command = [context.traces.program, *arguments]
        self._judge(self._run(command, environment, context), program)

    def _fill(self, argument: str, context: JobContext) -> str:
        """Absolute paths, so that no name that begins with `-` is taken for an option."""
        return _BRACES.sub(
            lambda found: f"{{{found[1]}}}" if found[1] else str(self._path(found[2], context)), argument
        )

    def _path(self, word: str, context: JobContext) -> Path:
        """What a placeholder stands for; `{input}` is the folder of a set that is to be unpacked."""
        if word == "input" and self._unpacks and context.is_set:
            return context.unpack()
        path: Path = getattr(context, word)
        return path

    def _find(self, program: str, environment: Mapping[str, str], queue: str) -> str:
        """The program's path. One with a `/` in it is meant from the folder of pqfs.toml."""
        sought, path = locate(program, self._folder), environment.get("PATH")
        if found := shutil.which(sought, path=path):
            return os.path.abspath(found)
        trouble = "can not be executed" if shutil.which(sought, os.F_OK, path) else "was not found"
        raise Misconfigured(
            f"The command {program!r} {trouble}; check `handler.command` of queue {queue!r} in pqfs.toml"
            " and the PATH that pqfs runs with."
        )

    def _run(self, command: Sequence[str], environment: dict[str, str], context: JobContext) -> _Ended:
        words, prefix = self._limits.words(), list[str]()
        if self._confinement is not None:
            folder = context.output.parent
            (folder / "tmp").mkdir(parents=True, exist_ok=True)
            environment["TMPDIR"] = str(folder / "tmp")
            words += self._confinement.words(folder, context.input)
            prefix = self._confinement.prefix(folder, context.input)
        launcher = [sys.executable, "-I", "-S", LAUNCH, str(os.getpid()), *words, "--", *prefix, *command]
        with ExitStack() as stack:
            where = context.output_dir
            stdout = stack.enter_context(context.output.open("xb")) if self._prints_output else None
            process = subprocess.Popen(
                launcher, stdin=subprocess.DEVNULL, stdout=stdout, cwd=where, env=environment, start_new_session=True
            )
        context.on_end(lambda: _signal_group(process.pid, signal.SIGTERM))
        ended = _wait(process)
        context.traces.peak_bytes = ended.peak_bytes
        return ended

    def _judge(self, ended: _Ended, program: str) -> None:
        code = ended.code
        if code in self._done:
            return
        if code in self._retry_later:
            raise _of(code, RetryLater(f"{program} asked to be tried later (exit code {code})"))
        if code in self._permanent:
            raise _of(code, Permanent(f"{program} says that this input can not succeed (exit code {code})"))
        if met := self._limits.named_by_signal(code, ended.seconds):
            raise CommandFailed(f"{program} was ended by {self._limits.sentence(met)}", code)
        if code < 0:
            raise CommandFailed(f"{program} was ended by {_signal_name(-code)}", code)
        raise CommandFailed(f"{program} failed with exit code {code}", code)


def _of(code: int, verdict: HandlerVerdict) -> HandlerVerdict:
    verdict.exit_status = code
    return verdict


def locate(program: str, folder: str) -> str:
    """A program as it is looked for: a bare name in PATH, a path from the folder of pqfs.toml."""
    return os.path.join(folder, program) if "/" in program else program


def unfit(program: str, folder: str) -> str | None:
    """Why a program can not be run by a process like this one; None when it can."""
    sought = locate(program, folder)
    if shutil.which(sought):
        return None
    return (
        f"The command {program} {'can not be executed' if shutil.which(sought, os.F_OK) else 'is not found in PATH'}."
    )


def _wait(process: subprocess.Popen[bytes]) -> _Ended:
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return _Ended(process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended: SIGKILL of the whole tree follows


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
