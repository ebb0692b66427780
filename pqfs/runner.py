"""Runs handlers, one attempt at a time, in a process of its own that holds no lease and opens no index.

The consumer sends assignments; for each the runner wins the rename ready/ -> claimed/, notes the attempt in
the slot, runs the handler, ends every process that the handler left, completes `.part` to `.out` and reports.
It commits nothing and publishes nothing: whatever happens here, the consumer decides what becomes of it.

Trust: handlers are the operator's code on strangers' bytes. They may crash this process; the slot says which
job did. Known weakness: a Python handler shares the runner with the next job of its batch; use `command` for
code that leaks or corrupts memory.

SIGTERM means: end the current attempt soon. SIGKILL follows from the consumer. The runner dies with it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from pqfs import kernel, naming
from pqfs.channel import Channel, Message
from pqfs.clock import SystemClock
from pqfs.errors import Permanent, PqfsError, RetryLater
from pqfs.handlers import Handler, JobContext, Written, resolve
from pqfs.model import Kind
from pqfs.slot import Slot
from pqfs.spool import Spool

LOG_BYTES = 16 * 1024
# The environment's fault and bound to last: work pauses, no budget is touched however often it happens.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
# The environment's fault, or this one file's: counted as a loss, so that it does not go round for ever.
_FAULTS = frozenset({errno.EIO, errno.ESTALE})
_PAUSE = 5.0  # seconds before a job is tried again after either


class Runner:
    """The handler side of a consumer."""

    def __init__(self, channel: Channel, slot: Slot, hello: Mapping[str, Any]) -> None:
        self._channel = channel
        self._slot = slot
        self._spool = Spool(Path(hello["root"]))
        self._owner: str = hello["owner"]
        self._low_water: int = hello["low_water"]
        self._environment: dict[str, str] = hello["environment"]
        self._specifications: dict[str, Any] = hello["handlers"]
        self._handlers: dict[str, Handler] = {}
        self._clock = SystemClock()
        self._tail = OutputTail(LOG_BYTES)
        self._current: JobContext | None = None
        signal.signal(signal.SIGTERM, self._end_current)

    def _end_current(self, number: int, frame: FrameType | None) -> None:
        if self._current is not None:
            self._current.end()

    def serve(self, messages: Iterator[Message]) -> None:
        """Run assignments until the consumer closes the channel."""
        for message in messages:
            for assignment in message["run"]:
                self._attempt(assignment)

    def _attempt(self, assignment: Message) -> None:
        job, attempt = assignment["job"], assignment["attempt"]
        answer = {"job": job, "attempt": attempt}
        if self._is_void(assignment):
            self._channel.send({**answer, "kind": Kind.RELEASED})
            return
        if not self._spool.win(assignment["ready"], assignment["claimed"]):
            self._channel.send({**answer, "kind": Kind.MISSING})
            return
        if self._is_void(assignment):
            # Race: it was given back, and was in ready/ again, between the first question and our rename.
            self._spool.move(assignment["claimed"], assignment["ready"])
            self._channel.send({**answer, "kind": Kind.RELEASED})
            return
        # Crash here: the payload is in claimed/ and no slot names it; recovery gives it back and counts a loss.
        self._slot.begin(job, attempt, self._clock.boottime())
        started_at, began = self._clock.now(), time.perf_counter()
        self._spool.make_directory(f"work/{self._owner}")  # an earlier handler may have removed it
        context = self._context(assignment)
        result = self._run(context)
        result["run_seconds"] = time.perf_counter() - began
        self._channel.send({**answer, "started_at": started_at, **result})
        self._slot.end()

    def _is_void(self, assignment: Message) -> bool:
        return bool(assignment["generation"] != self._slot.generation)

    def _context(self, assignment: Message) -> JobContext:
        job, attempt = assignment["job"], assignment["attempt"]
        raw = os.fsencode(assignment["name"])
        marks = {"PQFS_JOB": job, "PQFS_ATTEMPT": str(attempt), "PQFS_QUEUE": assignment["queue"]}
        return JobContext(
            job=job,
            attempt=attempt,
            queue=assignment["queue"],
            name=naming.printable(raw),
            raw_name=raw,
            input=self._spool.path(assignment["claimed"]),
            output=self._spool.path(self._spool.scratch_path(self._owner, job, attempt, "part")),
            scratch_dir=self._spool.path(self._spool.scratch_path(self._owner, job, attempt, "parts")),
            metadata=assignment["metadata"],
            environment={**self._environment, **marks},
            report_progress=self._slot.progress,
        )

    # ---------------------------------------------------------------- one attempt

    def _run(self, context: JobContext) -> Message:
        """Run the handler and complete its output; what is reported to the consumer."""
        self._current = context
        try:
            written = self._handler(context.queue)(context)
            end_descendants()
            answer = self._complete(context, written)
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever a handler raises ends its attempt
            answer = _explain(error)
            if self._spool.is_below(self._low_water) and answer["kind"] != Kind.RETRY_LATER:
                answer |= {
                    "kind": Kind.RELEASED,
                    "delay": _PAUSE,
                    "error": f"no room on disk: {answer['error']}",
                }
        finally:
            self._current = None
        end_descendants()
        if log := self._tail.take():
            answer["log"] = log
        if answer["kind"] != Kind.DONE:
            self._discard(context)
        return answer

    def _handler(self, queue: str) -> Handler:
        if queue not in self._handlers:
            specification = self._specifications.get(queue, self._specifications[""])
            self._handlers[queue] = resolve(specification)
        return self._handlers[queue]

    def _complete(self, context: JobContext, written: Written | bytes | str | None) -> Message:
        """Turn `.part` (or `.parts`) into `.out`; a result without an output is a failure."""
        if isinstance(written, str):
            written = written.encode()
        if isinstance(written, bytes):
            context.output.write_bytes(written)
        source = context.output if context.output.exists() else context.scratch_dir
        if source is context.scratch_dir and not (source.is_dir() and any(source.iterdir())):
            raise NoOutput("the handler ended without writing an output")
        size, digest = (written.size, written.sha256) if isinstance(written, Written) else measure(source)
        _refuse_open_files(source)
        relative = self._spool.scratch_path(self._owner, context.job, context.attempt, "out")
        self._spool.move(os.path.relpath(source, self._spool.root), relative)
        if source is context.output and context.scratch_dir.exists():
            self._spool.remove_tree(os.path.relpath(context.scratch_dir, self._spool.root))
        return {"kind": Kind.DONE, "output_size": size, "output_sha256": digest}

    def _discard(self, context: JobContext) -> None:
        for path in (context.output, context.scratch_dir):
            try:
                self._spool.remove_tree(os.path.relpath(path, self._spool.root))
            except OSError:
                pass  # the consumer sweeps work/<owner>/ when it stops, the janitor when it dies


class NoOutput(PqfsError):
    """An attempt that says it succeeded but left nothing: success must be proved."""


def _explain(error: BaseException) -> Message:
    """What an exception that ended an attempt means."""
    if isinstance(error, RetryLater):
        return {"kind": Kind.RETRY_LATER, "error": error.message, "delay": error.delay}
    if isinstance(error, Permanent):
        return {"kind": Kind.PERMANENT, "error": error.message}
    if isinstance(error, PqfsError):
        return {"kind": Kind.FAILED, "error": error.message, "exit_code": getattr(error, "exit_status", None)}
    if isinstance(error, OSError) and error.errno in _NO_ROOM | _FAULTS:
        kind = Kind.RELEASED if error.errno in _NO_ROOM else Kind.ENVIRONMENT
        return {"kind": kind, "error": f"the environment failed: {error.strerror}", "delay": _PAUSE}
    if isinstance(error, SystemExit):
        return {"kind": Kind.FAILED, "error": f"the handler called sys.exit({error.code!r})"}
    print("".join(traceback.format_exception(error)), file=sys.stderr, flush=True)  # noqa: T201 -- the attempt's log
    return {"kind": Kind.FAILED, "error": f"{type(error).__name__}: {error}"[:2000]}


def _refuse_open_files(output: Path) -> None:
    """Nobody may still write what is about to be published."""
    for path in _files_in(output):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if kernel.is_open_for_writing(descriptor):
                raise NoOutput(f"{path.name} is still open for writing by another process")
        except OSError:
            pass  # no leases here: the descendants have been ended, that must do
        finally:
            os.close(descriptor)


def _files_in(output: Path) -> Iterator[Path]:
    if not output.is_dir():
        yield output
        return
    for path in sorted(output.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise NoOutput(f"the output contains {path.name}, which is neither a file nor a directory")
        if path.is_file():
            yield path


def measure(output: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of an output; of a directory, the sum over its files and the hash of its listing.

    The listing is one line a file, `<sha256>  <relative path>`, sorted by path: what `sha256sum` prints.
    """
    if not output.is_dir():
        with output.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return os.fstat(file.fileno()).st_size, digest
    size, listing = 0, hashlib.sha256()
    for path in _files_in(output):
        found, digest = measure(path)
        size += found
        listing.update(f"{digest}  {path.relative_to(output)}\n".encode("utf-8", "surrogateescape"))
    return size, listing.hexdigest()


# -------------------------------------------------------------------- descendants


def end_descendants(patience: float = 5.0) -> None:
    """Kill and reap every descendant of this process; it must be a subreaper, so that none has escaped.

    Without children this is one system call.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            for child in descendants(os.getpid()):
                try:
                    os.kill(child, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass
            if time.monotonic() > deadline:
                return  # unkillable (stuck in the kernel): the lease question on the output still guards it
            time.sleep(0.001)


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, nearest first (Linux)."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            children = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
        except OSError:
            continue
        for child in children:
            found += [int(child), *descendants(int(child))]
    return found


class OutputTail:
    """Collects what handlers and their programs print: stdout and stderr of this process, the last bytes only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = b""
        self._dropped = 0
        self._lock = threading.Lock()
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.dup2(write, 1)
        os.dup2(write, 2)
        os.close(write)
        sys.stdout = os.fdopen(1, "w", buffering=1, errors="backslashreplace", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
        threading.Thread(target=self._collect, name="output", daemon=True).start()

    def _collect(self) -> None:
        while True:
            select.select([self._read], [], [])
            with self._lock:
                self._drain()

    def _drain(self) -> None:
        while True:
            try:
                data = os.read(self._read, 65536)
            except BlockingIOError:
                return
            kept = self._kept + data
            self._dropped += max(0, len(kept) - self._limit)
            self._kept = kept[-self._limit :]

    def take(self) -> str:
        """What was printed since the last call, at most the limit, saying how much was left out."""
        sys.stdout.flush()
        sys.stderr.flush()
        with self._lock:
            self._drain()
            kept, dropped, self._kept, self._dropped = self._kept, self._dropped, b"", 0
        note = f"[{dropped} bytes before this were left out]\n" if dropped else ""
        return note + kept.decode("utf-8", "backslashreplace")


def main() -> None:
    """`python -m pqfs.runner <channel descriptor> <slot descriptor> <consumer pid>`, started by the consumer."""
    channel_descriptor, slot_descriptor, parent = (int(argument) for argument in sys.argv[1:4])
    kernel.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        return  # the consumer died before we could ask to die with it
    kernel.become_subreaper()
    kernel.ignore_lease_breaks()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(channel_descriptor, False)
    os.set_inheritable(slot_descriptor, False)
    channel = Channel(socket.socket(fileno=channel_descriptor))
    messages = channel.messages()
    hello = next(messages, None)
    if hello is not None:
        sys.path.insert(0, hello["import_path"])
        Runner(channel, Slot(slot_descriptor), hello).serve(messages)


if __name__ == "__main__":
    main()
