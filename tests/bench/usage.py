"""What a tree of processes has used, asked of /proc: processor time, memory, how often it woke.

Processor time counts children that have ended and were waited for, so that a sum over the tree loses nobody but
orphans. Memory is resident size: pages that processes share are counted in each of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pqfs.runner import descendants

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_AFTER_NAME = 3  # the number, as proc(5) counts, of the first field behind the name


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds of processor time so far, and bytes resident now."""

    cpu: float = 0.0
    resident: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu + other.cpu, self.resident + other.resident)


@dataclass(frozen=True, slots=True)
class Rest:
    """What a process does while nothing happens: nanoseconds of processor time, and waits that it began."""

    nanoseconds: int = 0
    waits: int = 0


@dataclass(frozen=True, slots=True)
class Birth:
    """A process and the tick at which it was born: together they are never another's."""

    pid: int
    at: int

    def still_lives(self) -> bool:
        """Whether it is there and more than a zombie."""
        fields = _fields(self.pid)
        return bool(fields) and int(_field(fields, 22)) == self.at and _field(fields, 3) != "Z"


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    return [pid, *descendants(pid)]


def births(pid: int) -> set[Birth]:
    """A process and all below it, so that they are known again later."""
    found = {each: _fields(each) for each in tree(pid)}
    return {Birth(each, int(_field(fields, 22))) for each, fields in found.items() if fields}


def of_tree(pid: int) -> Usage:
    """What a process and all below it have used."""
    return sum(map(of_process, tree(pid)), Usage())


def of_process(pid: int) -> Usage:
    """What one process has used, its dead children included; nothing when it has gone."""
    fields = _fields(pid)
    if not fields:
        return Usage()
    ticks = sum(int(_field(fields, number)) for number in (14, 15, 16, 17))
    return Usage(ticks / _TICK, int(_field(fields, 24)) * _PAGE)


def rest_of(pid: int) -> Rest:
    """Processor time to the nanosecond and voluntary waits of a process, over all its threads."""
    spent = waits = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        spent += int((thread / "schedstat").read_text().split()[0])
        status = (thread / "status").read_text()
        waits += int(status.split("voluntary_ctxt_switches:", 1)[1].split(None, 1)[0])
    return Rest(spent, waits)


def stage_of(pid: int) -> str:
    """What a process of a stack is there for: ingester, consumer, runner, janitor, supervisord, `pqfs up`, other."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "other"
    for word, stage in _STAGES.items():
        if word in words:
            return stage
    return "other"


_STAGES = {
    "supervisor.supervisord": "supervisord", "pqfs.runner": "runner", "ingest": "ingester", "consume": "consumer",
    "janitor": "janitor", "up": "pqfs up",
}  # fmt: skip


def _fields(pid: int) -> list[str]:
    """What stat tells of a process, from behind its name, which may hold anything; empty when it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _field(fields: list[str], number: int) -> str:
    return fields[number - _AFTER_NAME]
