"""Strikes a real process at its n-th system call on the files of a spool: ends it, fails the call, or lies about it.

The work is done by injector.c, a ptrace and seccomp program built here with the C compiler that is found. strace
can do most of it and is the witness (`test_strace_sees_the_same_calls`); it is too slow for tens of thousands of
points, counts calls on other files too, and can not lie.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path

_SOURCE = Path(__file__).with_name("injector.c")
PROCESSES = ("main", "runner", "command")


class Action(IntEnum):
    """What happens at the chosen call."""

    KILL = 1  # the process is killed before the call
    FAIL = 2  # the call does not happen and reports an error
    LIE = 3  # the call happens and reports an error


@dataclass(frozen=True, slots=True)
class Fault:
    """One strike: at the n-th call of this name, of this kind of process, on a file of the spool."""

    process: str
    call: str
    n: int
    action: Action
    error: str = ""

    def __str__(self) -> str:
        what = {Action.KILL: "KILL", Action.FAIL: self.error, Action.LIE: f"LIE-{self.error}"}[self.action]
        return f"{self.process}/{self.call}/{self.n}/{what}"

    @classmethod
    def parse(cls, text: str) -> Fault:
        """The inverse of `str`: main/openat/3/EIO, runner/rename/1/KILL, main/unlink/2/LIE-ENOENT."""
        process, call, n, what = text.split("/")
        if what == "KILL":
            return cls(process, call, int(n), Action.KILL)
        action = Action.LIE if what.startswith("LIE-") else Action.FAIL
        return cls(process, call, int(n), action, what.removeprefix("LIE-"))


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that a process made on the spool's files."""

    process: str
    call: str
    n: int
    result: str
    path: str


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a process. `status` is a wait status; None: it did not end in time and was killed."""

    status: int | None
    struck: tuple[bool, ...]
    calls: tuple[Call, ...]


class _Fault(ctypes.Structure):
    _fields_ = [
        ("nr", ctypes.c_int), ("kind", ctypes.c_int), ("at", ctypes.c_long),
        ("action", ctypes.c_int), ("error", ctypes.c_int), ("struck", ctypes.c_int),
    ]  # fmt: skip


class NotHere(Exception):
    """This machine can not run the injector: why, in words."""


class Injector:
    """The built library. Use it from one thread of a process that has no other children."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(str(_build()), use_errno=True)
        self._library.injector_name.restype = ctypes.c_char_p
        self._library.injector_drive.argtypes = [
            ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_Fault), ctypes.c_int, ctypes.c_char_p,
            ctypes.c_double,
        ]  # fmt: skip

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The system calls that can be struck, and their numbers."""
        found: dict[str, int] = {}
        while name := self._library.injector_name(len(found)):
            found[name.decode()] = self._library.injector_number(len(found))
        return found

    def prepare(self) -> None:
        """In the process that is to be struck, once its tracer is there."""
        if self._library.injector_prepare() != 0:
            raise OSError(ctypes.get_errno(), "the seccomp filter was refused")

    def drive(self, pid: int, go: int, root: Path, faults: Sequence[Fault], log: Path, patience: float) -> Run:
        """Let a child that waits for a byte on `go` run to its end, struck at `faults`; what it did."""
        table = (_Fault * len(faults))(*map(self._row, faults))
        status = self._library.injector_drive(
            pid, go, os.fsencode(root), table, len(faults), os.fsencode(log), patience
        )
        if status == -2:
            raise NotHere("this user may not trace its own children (ptrace is refused)")
        calls = tuple(_parse(line) for line in log.read_text(errors="replace").splitlines())
        return Run(None if status == -1 else status, tuple(bool(row.struck) for row in table), calls)

    def _row(self, fault: Fault) -> _Fault:
        number = getattr(errno, fault.error) if fault.error else 0
        return _Fault(self.numbers[fault.call], PROCESSES.index(fault.process), fault.n, fault.action, number, 0)


def _parse(line: str) -> Call:
    process, call, n, result, path = line.split("\t")
    return Call(process, call, int(n), result, path)


def _build() -> Path:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise NotHere("the injector knows only Linux on x86-64")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NotHere("there is no C compiler")
    digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    built = Path(tempfile.gettempdir()) / f"pqfs-injector-{os.getuid()}-{digest}.so"
    if not built.exists():
        scratch = built.with_suffix(f".{os.getpid()}.tmp")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", scratch, _SOURCE], check=True)
        scratch.rename(built)
    return built
