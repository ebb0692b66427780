"""What runs on a payload: the job context that handlers are given, and the way from a specification to code.

A handler is a callable that takes a `JobContext` and leaves its result in `context.output` (one file) or in
`context.output_dir` (a directory of files). It may return bytes or text instead, which become the output. It
raises `RetryLater`, `Permanent`, or anything else, which is a failure. Handlers run in the runner process,
one at a time, never where leases are renewed.

A specification is plain data, so that the runner needs no settings library to start:
    {"kind": "timestamp"} | {"kind": "command", "command": […], …} | {"kind": "python", "python": "module:function"}
each with "limits", if it has some.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pqfs.errors import Misconfigured, Permanent
from pqfs.handlers.limits import Limits
from pqfs.handlers.traces import Traces
from pqfs.handlers.unpacking import unpack
from pqfs.tracing import parent_of


@dataclass(frozen=True, slots=True)
class Written:
    """What a handler that hashes while it writes says of its output, so that nobody reads it again."""

    size: int
    sha256: str


@dataclass
class JobContext:
    """One attempt, as its handler sees it.

    Attributes:
        input: the payload; read only, it goes on to done/ or dead/ afterwards.
        output: write one file here, or use `output_dir`.
        name: the original name in printable form; `raw_name` its bytes.
        queue: the job's queue.
        metadata: what the sidecar carried under "metadata".
        attempt: 1 for the first.
        environment: variables for programs that the handler starts.
        traces: what a program that pqfs started has left to be told.
        is_set: whether the payload is a tar file of files that came together; `unpack` unpacks it.
    """

    job: str
    attempt: int
    queue: str
    name: str
    raw_name: bytes
    input: Path
    output: Path
    scratch_dir: Path
    metadata: Mapping[str, Any]
    environment: Mapping[str, str]
    report_progress: Callable[[float], None] = lambda fraction: None
    traces: Traces = field(default_factory=Traces)
    is_set: bool = False
    _enders: list[Callable[[], None]] = field(default_factory=list)
    _cancelled: bool = False

    @property
    def traceparent(self) -> str | None:
        """The W3C trace context that came with the job, for whatever the handler calls; None when none came."""
        return parent_of(self.metadata)

    @property
    def output_dir(self) -> Path:
        """A directory for several files, published together as one; made when it is first asked for.

        It is also the working directory of commands. An attempt that writes `output` publishes only that.
        """
        self.scratch_dir.mkdir(parents=True, exist_ok=True)
        return self.scratch_dir

    def unpack(self) -> Path:
        """The files of a set, in a folder that goes with this attempt; unpacked when it is first asked for.

        Raises:
            Permanent: the payload is not a set.
        """
        if not self.is_set:
            raise Permanent("its input is not a set of files")
        return unpack(self.input, self.output.parent / "set")

    def progress(self, fraction: float) -> None:
        """Tell how much is done, 0.0 to 1.0; shown by `pqfs ps` and the console."""
        self.report_progress(min(1.0, max(0.0, fraction)))

    def cancelled(self) -> bool:
        """Whether somebody wants this attempt ended (cancel, timeout, drain): return soon, or be killed."""
        return self._cancelled

    def on_end(self, ender: Callable[[], None]) -> None:
        """Have `ender` called when the attempt is to end early; at once, if that was asked for already."""
        self._enders.append(ender)
        if self._cancelled:
            ender()

    def end(self) -> None:
        """Ask the attempt to end; called from a signal handler."""
        self._cancelled = True
        for ender in self._enders:
            ender()


class Handler(Protocol):
    """Anything that runs an attempt."""

    def __call__(self, context: JobContext, /) -> Written | bytes | str | None:
        """Process one payload."""


def is_ours(specification: Mapping[str, Any]) -> bool:
    """Whether a handler is part of pqfs: it starts nothing, changes no input and says exactly what it wrote.

    Nobody has to look at what it left, as after every handler that is somebody else's.
    """
    return bool(specification["kind"] == "timestamp")


def resolve(specification: Mapping[str, Any]) -> Handler:
    """Find the code for a specification.

    Raises:
        Misconfigured: a module that can not be imported, a name that is not there or not callable.
    """
    match specification["kind"]:
        case "timestamp":
            from pqfs.handlers.timestamp import timestamp

            return Limits.of(specification).around(timestamp)
        case "command":
            from pqfs.handlers.command import CommandRunner

            return CommandRunner(specification)
        case "python":
            return Limits.of(specification).around(_load(specification["python"]))
        case other:
            raise Misconfigured(f"There is no handler of kind {other!r}.")


def _load(target: str) -> Handler:
    module_name, _, name = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # -- a module may raise anything while it is imported
        raise Misconfigured(
            f"The handler {target} can not be imported: {type(error).__name__}: {error}.",
            "Modules are looked for beside pqfs.toml and in the environment that runs pqfs.",
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise Misconfigured(f"The handler {target} is not a function in {module_name}.")
    handler: Handler = found
    return handler
