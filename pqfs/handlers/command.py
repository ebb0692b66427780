"""Runs a program on the payload: an argument template, no shell, and an exit code that says how it went."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pqfs.errors import Permanent, PqfsError, RetryLater
from pqfs.handlers import JobContext

_LAUNCH = str(Path(__file__).with_name("launch.py"))


class CommandFailed(PqfsError):
    """The program ended with a code that means failure, or by a signal."""

    def __init__(self, message: str, exit_code: int | None) -> None:
        super().__init__(message)
        self.exit_status = exit_code


class CommandRunner:
    """One command template. `{input}`, `{output}` and `{output_dir}` in its arguments stand for paths."""

    def __init__(self, specification: Mapping[str, Any]) -> None:
        self._template: Sequence[str] = specification["command"]
        self._done = frozenset(specification.get("done", (0,)))
        self._retry_later = frozenset(specification.get("retry_later", ()))
        self._permanent = frozenset(specification.get("permanent", ()))
        self._environment: Mapping[str, str] = specification.get("environment", {})
        self._prints_output = specification.get("stdout") == "output"

    def __call__(self, context: JobContext) -> None:
        """Run the program and wait for it.

        Raises:
            CommandFailed, RetryLater, Permanent: as the exit code says.
        """
        arguments = [self._fill(argument, context) for argument in self._template]
        environment = {**context.environment, **self._environment}
        if shutil.which(arguments[0], path=environment.get("PATH")) is None:
            is_there = shutil.which(arguments[0], os.F_OK, environment.get("PATH"))
            trouble, code = ("can not be executed", 126) if is_there else ("was not found", 127)
            raise CommandFailed(
                f"The command {arguments[0]!r} {trouble}; check `handler.command` of queue"
                f" {context.queue!r} in pqfs.toml and the PATH that pqfs runs with",
                code,
            )
        self._judge(self._run(arguments, environment, context), arguments[0])

    def _fill(self, argument: str, context: JobContext) -> str:
        for word in ("input", "output", "output_dir"):
            if (mark := f"{{{word}}}") in argument:
                argument = argument.replace(mark, str(getattr(context, word)))
        return argument

    def _run(self, arguments: Sequence[str], environment: Mapping[str, str], context: JobContext) -> int:
        launcher = [sys.executable, "-I", "-S", _LAUNCH, str(os.getpid()), *arguments]
        with ExitStack() as stack:
            stdout = stack.enter_context(context.output.open("xb")) if self._prints_output else None
            process = subprocess.Popen(
                launcher, stdin=subprocess.DEVNULL, stdout=stdout, cwd=context.output_dir, env=dict(environment)
            )
        context.on_end(lambda: _signal_group(process.pid, signal.SIGTERM))
        return process.wait()

    def _judge(self, code: int, program: str) -> None:
        if code in self._done:
            return
        if code in self._retry_later:
            raise RetryLater(f"{program} asked to be tried later (exit code {code})")
        if code in self._permanent:
            raise Permanent(f"{program} says that this input can not succeed (exit code {code})")
        if code < 0:
            raise CommandFailed(f"{program} was ended by {_signal_name(-code)}", code)
        raise CommandFailed(f"{program} failed with exit code {code}", code)


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended, or has not made its group yet: SIGKILL of the whole tree follows


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
