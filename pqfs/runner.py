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

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from pqfs import failures, kernel, naming, outputs, tracing
from pqfs.channel import Channel, Message
from pqfs.clock import SystemClock
from pqfs.errors import PqfsError
from pqfs.footing import footing
from pqfs.handlers import Handler, JobContext, Written, is_ours, resolve
from pqfs.handlers.confinement import is_confined
from pqfs.handlers.limits import Limits
from pqfs.handlers.traces import Meter, Traces, describe
from pqfs.inputs import Input
from pqfs.model import Kind
from pqfs.outputs import NoOutput
from pqfs.slot import Slot
from pqfs.spool import Spool

LOG_BYTES = 16 * 1024


def begin(spool: Spool, slot: Slot, assignment: Message, now: float) -> Message | None:
    """Win the payload and note the attempt in the slot; what is to be reported if it can not begin.

    `now` is boot time. An assignment of an older generation than the slot's has been given back.
    """
    if assignment["generation"] != slot.generation:
        return {"kind": Kind.RELEASED}
    if not spool.win(assignment["ready"], assignment["claimed"]):
        return {"kind": Kind.MISSING}
    if assignment["generation"] != slot.generation:
        # Race: it was given back, and was in ready/ again, between the first question and our rename.
        spool.move(assignment["claimed"], assignment["ready"])
        return {"kind": Kind.RELEASED}
    # Crash here: the payload is in claimed/ and no slot names it; recovery gives it back and counts a loss.
    slot.begin(assignment["job"], assignment["attempt"], now)
    return None


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where one attempt writes, relative to the spool: one file or a folder of them; `out` is what is complete."""

    part: str
    parts: str
    out: str
    output: str
    files: str


class Runner:
    """The handler side of a consumer."""

    def __init__(self, channel: Channel, slot: Slot, hello: Mapping[str, Any]) -> None:
        self._channel = channel
        self._slot = slot
        self._spool = Spool(Path(hello["root"]))
        self._asks_leases = footing(self._spool.root).asks_leases
        self._owner: str = hello["owner"]
        self._low_water: int = hello["low_water"]
        self._environment: dict[str, str] = hello["environment"]
        self._specifications: dict[str, Any] = hello["handlers"]
        self._handlers: dict[str, Handler] = {}
        self._loaded: dict[str, str] = {}  # the functions among them, by queue: as they were when they were loaded
        self._has_scratch = False
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
        try:
            refusal = begin(self._spool, self._slot, assignment, self._clock.boottime())
            self._stand_on_scratch()
        except OSError as error:
            # Whether the rename happened or not: whoever ends the attempt finds the payload in either place.
            refusal = failures.of_machine(error)
        if refusal:
            self._slot.end()
            self._channel.send({**answer, **refusal})
            return
        started_at, began = self._clock.now(), time.perf_counter()
        place = self._workplace(assignment)
        result = self._run(self._context(assignment, place), place)
        result["run_seconds"] = time.perf_counter() - began
        self._channel.send({**answer, "started_at": started_at, **result})
        self._slot.end()

    def _stand_on_scratch(self) -> None:
        """Make work/<owner>/ where it may be missing: at first, and after a handler that may have removed it."""
        if not self._has_scratch:
            self._spool.make_directory(f"work/{self._owner}")
            self._has_scratch = True

    def _workplace(self, assignment: Message) -> Workplace:
        job, attempt = assignment["job"], assignment["attempt"]
        part, parts, out = (
            self._spool.scratch_path(self._owner, job, attempt, suffix) for suffix in ("part", "parts", "out")
        )
        specification = self._specification(assignment["queue"])
        if is_confined(specification) or (assignment.get("is_set", False) and not is_ours(specification)):
            return Workplace(part, parts, out, f"{part}/output", f"{part}/files")
        return Workplace(part, parts, out, part, parts)

    def _context(self, assignment: Message, place: Workplace) -> JobContext:
        job, attempt, queue = assignment["job"], assignment["attempt"], assignment["queue"]
        raw = os.fsencode(assignment["name"])
        name = naming.printable(raw)
        marks = {"PQFS_JOB": job, "PQFS_ATTEMPT": str(attempt), "PQFS_QUEUE": queue, "PQFS_NAME": name}
        marks |= {"PQFS_SET": "1"} if assignment.get("is_set", False) else {}
        return JobContext(
            job=job,
            attempt=attempt,
            queue=queue,
            name=name,
            raw_name=raw,
            input=self._spool.path(assignment["claimed"]),
            output=self._spool.path(place.output),
            scratch_dir=self._spool.path(place.files),
            metadata=assignment["metadata"],
            environment={**self._environment, **marks, **tracing.variables(assignment["metadata"])},
            report_progress=self._slot.progress,
            is_set=assignment.get("is_set", False),
        )

    # ---------------------------------------------------------------- one attempt

    def _run(self, context: JobContext, place: Workplace) -> Message:
        """Run the handler and complete its output; what is reported to the consumer."""
        self._current = context
        specification = self._specification(context.queue)
        limits = Limits.of(specification)
        meter = None if is_ours(specification) else Meter(specification)
        try:
            answer = self._process(context, place, limits.files)
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever a handler raises ends its attempt
            failures.show(error)
            log = self._tail.take()
            answer = failures.judge(error, limits, log, self._lack())
            self._has_scratch = False
            self._discard(place.part, place.parts)
        else:
            log = self._tail.take()
        finally:
            self._current = None
        told = {"used": meter.used(context.traces), "handler": self._version(context)} if meter else {}
        return {**answer, **told, "log": log} if log else {**answer, **told}

    def _process(self, context: JobContext, place: Workplace, most: int) -> Message:
        """Have the job done, by the handler of its queue, and turn the output into `.out`; what is told of it."""
        handler = self._handler(context.queue)
        if place.output != place.part:
            self._spool.path(place.part).mkdir(exist_ok=True)
        if is_ours(self._specification(context.queue)):
            written = handler(context)
            assert isinstance(written, Written)
            self._spool.move(place.output, place.out)
        else:
            self._has_scratch = False
            written = self._complete(context, place, self._handle(handler, context), most)
        return {"kind": Kind.DONE, "output_size": written.size, "output_sha256": written.sha256}

    def _lack(self) -> str | None:
        """What the machine has no more of; then a handler's failure is the environment's, whatever it says."""
        try:
            os.close(os.dup(1))
            return "no room on disk" if self._spool.is_below(self._low_water) else None
        except OSError as error:
            return f"the machine is at its end ({error.strerror})"

    def _handle(self, handler: Handler, context: JobContext) -> Written | bytes | str | None:
        """Run the handler and end all that it started; the payload is as it came afterwards, or this says so.

        Raises:
            NoOutput: the payload was written to.
            Whatever the handler raises.
        """
        with Input(context.input) as payload:
            try:
                written = handler(context)
            finally:
                end_descendants()
                if not payload.is_at(context.input):
                    self._put_back(payload, context)
            if payload.has_changed():
                raise NoOutput("its input changed while it was processed: a handler may read it, not write it")
        return written

    def _put_back(self, payload: Input, context: JobContext) -> None:
        """The handler removed, replaced or renamed its input. It is still held, and gets its name again."""
        relative = os.path.relpath(payload.path, self._spool.root)
        if payload.is_at(context.output):
            self._spool.move(os.path.relpath(context.output, self._spool.root), relative)
            os.link(payload.path, context.output)  # what is published is a copy: see outputs.check
        else:
            copy = os.path.relpath(context.output_dir / ".input", self._spool.root)
            self._spool.put_back(payload.descriptor, relative, copy)
        print("[the handler had taken its input away; pqfs has put it back]")  # noqa: T201 -- the attempt's log

    def _version(self, context: JobContext) -> str:
        return self._loaded.get(context.queue) or describe(self._specification(context.queue), context.traces)

    def _specification(self, queue: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._specifications.get(queue, self._specifications[""])
        return found

    def _handler(self, queue: str) -> Handler:
        if queue not in self._handlers:
            specification = self._specification(queue)
            self._handlers[queue] = resolve(specification)
            if specification["kind"] == "python":
                self._loaded[queue] = describe(specification, Traces())
        return self._handlers[queue]

    def _complete(
        self, context: JobContext, place: Workplace, written: Written | bytes | str | None, most: int
    ) -> Written:
        """Turn what the handler left into `.out`; a result without an output is a failure."""
        if isinstance(written, str):
            written = written.encode()
        if isinstance(written, bytes):
            context.output.write_bytes(written)
        source = outputs.find(context.output, context.scratch_dir)
        outputs.check(source, most, self._asks_leases)
        if not isinstance(written, Written):
            written = Written(*outputs.measure(source))
        complete = place.output if source is context.output else place.files
        self._spool.move(complete, place.out)
        self._discard(*{place.part, place.parts} - {complete})
        return written

    def _discard(self, *scratch: str) -> None:
        """Remove what an attempt has written and nobody needs."""
        for relative in scratch:
            try:
                self._spool.remove_tree(relative)
            except OSError:
                pass  # the consumer sweeps work/<owner>/ when it stops, the janitor when it dies


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
            for child in _stopped_descendants():
                _signal(child, signal.SIGKILL)
            if time.monotonic() > deadline:
                return  # unkillable (stuck in the kernel): the lease question on the output still guards it
            time.sleep(0.001)


def _stopped_descendants() -> set[int]:
    """Every descendant, stopped: what forks faster than it can be killed has to hold still first."""
    stopped: set[int] = set()
    while new := set(descendants(os.getpid())) - stopped:
        for child in new:
            _signal(child, signal.SIGSTOP)
        stopped |= new
    return stopped


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


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
    if hello is None:
        return
    sys.path.insert(0, hello["import_path"])
    try:
        runner = Runner(channel, Slot(slot_descriptor), hello)
    except (PqfsError, OSError) as error:  # the consumer starts another, and says so when none starts
        sys.exit(f"pqfs.runner: {error.message if isinstance(error, PqfsError) else error.strerror}")
    runner.serve(messages)


if __name__ == "__main__":
    main()
