"""What an attempt may use, and how to tell that it met a limit.

Programs are limited by the exec helper, each process of theirs. Functions share the runner: for them the soft
limits of the runner are lowered before the attempt and raised again after it.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Self, TypeVar

from pqfs.handlers.launch import RESOURCES

_BY_ERRNO = {
    errno.ENOMEM: "memory",
    errno.EFBIG: "file_size",
    errno.EMFILE: "open_files",
    errno.EAGAIN: "processes",
}
# What programs say when they meet a limit, as far as no signal tells it.
_SAYINGS = {
    "memory": (os.strerror(errno.ENOMEM), "MemoryError", "bad_alloc", "out of memory", "Out of memory"),
    "file_size": (os.strerror(errno.EFBIG),),
    "open_files": (os.strerror(errno.EMFILE),),
    "processes": (os.strerror(errno.EAGAIN), "Cannot fork", "can't start new thread"),
}
_WORDS = {
    "memory": "its limit of {} of memory",
    "cpu": "its limit of {} CPU seconds",
    "file_size": "its limit of {} for one file",
    "open_files": "its limit of {} open files",
    "processes": "its limit of {} processes",
}


_Context = TypeVar("_Context")
_Result = TypeVar("_Result")


class OutOfTime(Exception):
    """Raised in a function that has used up its CPU seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one queue; None is no limit. Bytes, seconds, numbers."""

    memory: int | None = None
    cpu: float | None = None
    file_size: int | None = None
    open_files: int | None = None
    processes: int | None = None
    nice: int = 0
    files: int = 10_000

    @classmethod
    def of(cls, specification: Mapping[str, Any]) -> Self:
        """The limits in a handler's specification."""
        return cls(**specification.get("limits", {}))

    def given(self) -> dict[str, int]:
        """Those of the kernel's limits that are set, CPU in whole seconds."""
        values = ((name, getattr(self, name)) for name in RESOURCES)
        return {name: math.ceil(value) for name, value in values if value is not None}

    def words(self) -> list[str]:
        """What the exec helper is told."""
        nice = [f"nice={self.nice}"] if self.nice else []
        return [*nice, *(f"{name}={value}" for name, value in self.given().items())]

    def sentence(self, name: str) -> str:
        """A limit in words: `its limit of 1 GiB of memory`."""
        value = self.given()[name]
        return _WORDS[name].format(_size(value) if name in ("memory", "file_size") else value)

    # ---------------------------------------------------------------- which one was met

    def named_by_signal(self, code: int, seconds: float) -> str | None:
        """The limit that ended a program. `code` as of waitstatus_to_exitcode; `seconds` of CPU that it used.

        A shell tells of a signal by 128 and its number.
        """
        number = -code if code < 0 else code - 128
        if self.cpu and (number == signal.SIGXCPU or (number == signal.SIGKILL and seconds >= self.cpu)):
            return "cpu"
        return "file_size" if self.file_size and number == signal.SIGXFSZ else None

    def named_by_error(self, error: BaseException) -> str | None:
        """The limit that an exception in a function tells of."""
        if isinstance(error, OutOfTime):
            return "cpu"
        if isinstance(error, MemoryError):
            return "memory" if self.memory else None
        name = _BY_ERRNO.get(error.errno or 0) if isinstance(error, OSError) else None
        return name if name in self.given() else None

    def named_in(self, said: str) -> str | None:
        """The limit that a program complained of, as far as it used the usual words."""
        names = self.given()
        return next((name for name, words in _SAYINGS.items() if name in names and _any(words, said)), None)

    # ---------------------------------------------------------------- functions

    def around(self, handler: Callable[[_Context], _Result]) -> Callable[[_Context], _Result]:
        """A function that runs the handler under these limits; the handler itself where there are none."""
        if not self.given():
            return handler

        def limited(context: _Context) -> _Result:
            with self._lowered():
                return handler(context)

        return limited

    @contextmanager
    def _lowered(self) -> Iterator[None]:
        before = {name: resource.getrlimit(RESOURCES[name]) for name in self.given()}
        listener = signal.signal(signal.SIGXCPU, _out_of_time)
        try:
            for name, wanted in self.given().items():
                _, hard = before[name]
                wanted += _used(name)
                resource.setrlimit(RESOURCES[name], (wanted if hard < 0 else min(wanted, hard), hard))
            yield
        finally:
            for name, both in before.items():
                resource.setrlimit(RESOURCES[name], both)
            signal.signal(signal.SIGXCPU, listener)


def _out_of_time(number: int, frame: FrameType | None) -> None:
    raise OutOfTime


def _used(name: str) -> int:
    """What this process had used before the attempt began."""
    if name == "cpu":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return math.ceil(usage.ru_utime + usage.ru_stime)
    if name == "memory":
        try:
            with open("/proc/self/statm") as file:
                return int(file.read().split()[0]) * resource.getpagesize()
        except OSError:
            return 0
    return 0


def _any(words: tuple[str, ...], said: str) -> bool:
    return any(word in said for word in words)


def _size(size: int) -> str:
    """Bytes in the largest unit that fits exactly: 1 GiB."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size % (1 << power) == 0:
            return f"{size >> power} {unit}"
    return f"{size} bytes"
