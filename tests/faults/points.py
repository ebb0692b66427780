"""One point: a copy of a scenario's spool, a process struck there, what came of it."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import stat
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.faults import aftermath, victim
from tests.faults.injector import Action, Call, Fault, Injector, Run
from tests.faults.scenarios import SCENARIOS, Script

PATIENCE = 20.0  # seconds for what takes a tenth of one
ERRNOS = ("EIO", "ENOSPC", "EROFS", "EACCES", "EMFILE", "EINTR", "ESTALE", "EDQUOT")
# What network file systems answer to calls that happened (measured on NFS v3 and v4.2): the answer got lost, and the
# second asking finds the work done.
LIES = {
    **dict.fromkeys(("rename", "renameat", "renameat2"), ("ENOENT", "EEXIST")),
    **dict.fromkeys(("link", "linkat", "mkdir", "mkdirat", "mknodat"), ("EEXIST",)),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), ("ENOENT",)),
}
_UNSTRUCK = frozenset({"close", "lseek"})  # a close that fails has closed; EINTR and EIO there say nothing new


@dataclass(frozen=True, slots=True)
class Point:
    """A scenario, the faults of its process, and those of the janitor that recovers from them."""

    scenario: str
    first: Fault
    second: Fault | None = None

    def __str__(self) -> str:
        then = f"+{self.second}" if self.second else ""
        return f"{self.scenario}/{self.first}{then}"

    @classmethod
    def parse(cls, text: str) -> Point:
        """The inverse of `str`."""
        scenario, _, faults = text.partition("/")
        first, _, second = faults.partition("+")
        return cls(scenario, Fault.parse(first), Fault.parse(second) if second else None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a point."""

    point: Point
    struck: bool
    wrong: tuple[str, ...]
    log: str
    answers: dict[int, int]
    where: str  # the file that the struck call was about

    @property
    def told(self) -> bool:
        """Whether the process named the error that it met."""
        first = self.point.first
        return first.action is not Action.FAIL or os.strerror(getattr(errno, first.error)) in self.log

    def marks(self) -> list[str]:
        """What is worth counting of it."""
        if not self.struck:
            return ["not reached"]
        if self.point.first.action is not Action.FAIL:
            return []
        ended = any(self.answers.values())
        return [("ended with a sentence" if ended else "went on"), *([] if self.told else ["silent"])]


@dataclass(slots=True)
class Ground:
    """One scenario, built: its spool to copy, the calls of a run without a fault, and what that run charges."""

    name: str
    root: Path
    script: Script
    calls: tuple[Call, ...] = ()
    budgets: aftermath.Budgets = field(default_factory=dict)

    def counts(self) -> Counter[tuple[str, str]]:
        """How many calls each kind of process made, by name."""
        return Counter((call.process, call.call) for call in self.calls)


class Laboratory:
    """Builds scenarios and tries points. One for each process; it must have no other children and no threads."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self._base = Path(tempfile.mkdtemp(prefix="pqfs-faults-", dir=memory if memory.is_dir() else None))
        self._injector = Injector()
        self._grounds: dict[str, Ground] = {}

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._base, ignore_errors=True)

    def ground(self, name: str) -> Ground:
        """A scenario, built when it is first asked for."""
        if name not in self._grounds:
            root = self._base / f"template-{name}"
            root.mkdir()
            apart(lambda: SCENARIOS[name](root).write(root))
            ground = Ground(name, root, Script.read(root))
            at = self._copy(ground)
            run = self._strike(at, ground.script, ())
            said = (at / "log").read_text(errors="replace")
            ground.calls = run.calls
            answer = apart(lambda: _clean(at, run))
            if answer["wrong"] or run.status != 0 or any(aftermath.answers(at).values()):
                raise AssertionError(
                    f"{name} fails without a fault: {answer['wrong']}, {aftermath.answers(at)}\n{said}"
                )
            ground.budgets = _most(apart(lambda: aftermath.budgets(aftermath.opened(root))), answer["budgets"])
            self._grounds[name] = ground
            shutil.rmtree(at)
        return self._grounds[name]

    def attempt(self, point: Point, keep: Path | None = None) -> Verdict:
        """Strike one copy of a scenario and see what becomes of it."""
        ground = self.ground(point.scenario)
        at = self._copy(ground)
        run = self._strike(at, ground.script, (point.first,))
        faults = [point.first]
        if point.second:
            self._recover(at, point.second)
            faults.append(point.second)
        said = (at / "log").read_text(errors="replace")
        answers = aftermath.answers(at)
        wrong = apart(lambda: aftermath.check(at, tuple(faults), run, ground.budgets))
        if keep:
            shutil.copytree(at, keep, symlinks=True, ignore=_no_pipes)
        shutil.rmtree(at)
        where = next((call.path for call in run.calls if _is_at(call, point.first)), "?")
        return Verdict(point, run.struck[0], tuple(wrong), said, answers, where)

    def _recover(self, at: Path, fault: Fault) -> None:
        """A janitor on what the first fault has left, struck too; what people were told stays as it was."""
        told = at / "answers"
        before = told.read_text() if told.exists() else ""
        self._strike(at, Script([["janitor"]], rounds=2), (fault,))
        told.write_text(before)

    def _strike(self, at: Path, script: Script, faults: Sequence[Fault]) -> Run:
        pid, go = victim.begin(at, self._injector.prepare, script)
        try:
            return self._injector.drive(pid, go, at / "spool", faults, at / "calls", PATIENCE)
        finally:
            os.close(go)
            _reap()

    def _copy(self, ground: Ground) -> Path:
        at = self._base / f"{ground.name}-{time.monotonic_ns():x}"
        _copy_tree(ground.root, at)
        return at


def _is_at(call: Call, fault: Fault) -> bool:
    return (call.process, call.call, call.n) == (fault.process, fault.call, fault.n)


def _most(before: Mapping[str, Sequence[int]], after: Mapping[str, Sequence[int]]) -> aftermath.Budgets:
    """The most that each job may have been charged: a person's retry gives budgets back."""
    found: aftermath.Budgets = {}
    for name, (failures, crashes) in (*before.items(), *after.items()):
        usual = found.get(name, (0, 0))
        found[name] = max(failures, usual[0]), max(crashes, usual[1])
    return found


def _no_pipes(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if stat.S_ISFIFO(os.lstat(os.path.join(directory, name)).st_mode)]


def _copy_tree(source: Path, target: Path) -> None:
    """A copy with times and links; shutil's costs three times as much."""
    os.mkdir(target)
    with os.scandir(source) as listing:
        for entry in listing:
            to = target / entry.name
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), to)
            elif entry.is_dir():
                _copy_tree(Path(entry.path), to)
            elif entry.is_file():
                found = entry.stat()
                to.write_bytes(Path(entry.path).read_bytes())
                os.chmod(to, found.st_mode)
                os.utime(to, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.chmod(target, os.stat(source).st_mode)


def _clean(at: Path, run: Run) -> dict[str, Any]:
    wrong = aftermath.check(at, (), run, {name: (99, 99) for name in Script.read(at).sent})
    world = aftermath.opened(at)
    return {"wrong": wrong, "budgets": aftermath.budgets(world)}


def apart(act: Callable[[], Any]) -> Any:
    """Do something in a fork of this process and return its answer: nothing stays open here."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            with os.fdopen(write, "w") as answer:
                json.dump(act(), answer)
            os._exit(0)
        except BaseException:  # noqa: BLE001 -- told on stderr, and by the exit code
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise AssertionError(f"a helper process ended with status {status}")
    return json.loads(text)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def kill_points(ground: Ground, chance: random.Random) -> list[Point]:
    """Before every call of every kind of process."""
    return [
        Point(ground.name, Fault(process, call, n, Action.KILL))
        for (process, call), count in ground.counts().items()
        if process != "command"
        for n in range(1, count + 1)
    ]


def errno_points(ground: Ground, chance: random.Random) -> list[Point]:
    """Every error at every call."""
    return [
        Point(ground.name, Fault(process, call, n, Action.FAIL, error))
        for (process, call), count in ground.counts().items()
        if process != "command" and call not in _UNSTRUCK
        for n in range(1, count + 1)
        for error in ERRNOS
    ]


def lie_points(ground: Ground, chance: random.Random) -> list[Point]:
    """Every change of a name that happens and reports that it did not."""
    return [
        Point(ground.name, Fault(process, call, n, Action.LIE, error))
        for (process, call), count in ground.counts().items()
        if process != "command"
        for n in range(1, count + 1)
        for error in LIES.get(call, ())
    ]


def double_points(ground: Ground, chance: random.Random) -> list[Point]:
    """A kill, an error or a lie at every call; then another in the janitor that recovers from it."""
    firsts = kill_points(ground, chance)
    firsts += [
        Point(ground.name, replace(point.first, action=Action.FAIL, error=chance.choice(ERRNOS))) for point in firsts
    ]
    firsts += lie_points(ground, chance)
    return [replace(point, second=_second(chance)) for point in firsts]


def _failing(point: Point, chance: random.Random) -> Point:
    return replace(point, first=replace(point.first, action=Action.FAIL, error=chance.choice(ERRNOS)))


# The calls of a janitor and about how many of each it makes: where a second fault falls.
_JANITOR = {
    "openat": 60, "newfstatat": 100, "fcntl": 150, "pwrite64": 80, "pread64": 25, "renameat2": 13, "fdatasync": 16,
    "unlinkat": 8, "unlink": 17, "mkdirat": 5, "fsync": 4, "getdents64": 50, "read": 14, "write": 4, "flock": 7,
}  # fmt: skip


def _second(chance: random.Random) -> Fault:
    call = chance.choice(sorted(_JANITOR))
    n = chance.randint(1, _JANITOR[call])
    strikes = [(Action.KILL, ""), (Action.KILL, ""), (Action.FAIL, chance.choice(ERRNOS))]
    strikes += [(Action.LIE, error) for error in LIES.get(call, ())[:1]]
    return Fault("main", call, n, *chance.choice(strikes))
