"""Which states a loss of power may leave: all that was flushed, plus any part of what was written since.

W12     everything up to record 12
F13     the same after a flush; more is promised by then
R12.3   everything flushed before, and a random part of the window up to record 12
T12     everything before record 12, and record 12 torn between two blocks
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.power.disk import Record

_BLOCK = 4096  # what a disk of today writes whole; btrfs trusts it to
_SHARES = (0.1, 0.5, 0.5, 0.9)  # how much of a window got through


@dataclass(frozen=True, slots=True)
class State:
    """One state: after record `at`, of the window these writes (record number, bytes of it; None: whole)."""

    label: str
    at: int
    cut: int
    window: tuple[tuple[int, int | None], ...]


def flushed_by(records: Sequence[Record]) -> list[float]:
    """For each record the number of the flush that makes it durable; infinity where none came."""
    next_flush: defaultdict[int, float] = defaultdict(lambda: math.inf)
    found = [math.inf] * len(records)
    for number in reversed(range(len(records))):
        record = records[number]
        if record.data is None:
            next_flush[record.disk] = number
        found[number] = next_flush[record.disk]
    return found


def states(
    records: Sequence[Record], subsets: int, chance: random.Random, promised: Callable[[int], int]
) -> Iterator[State]:
    """Every prefix, so many random parts of each window, and every eighth write torn.

    Never the same twice: what is on the disks and how much was `promised` by then tell two states apart.
    """
    window: defaultdict[int, list[int]] = defaultdict(list)
    flushes = 0
    seen = set()
    for number, record in enumerate(records):
        if record.data is None:
            flushes += bool(window[record.disk])
            window[record.disk].clear()
        else:
            window[record.disk].append(number)
        pending = sorted(each for numbers in window.values() for each in numbers)
        for state in _states_at(number, records, pending, subsets, chance):
            identity = (flushes, state.window, promised(state.cut))
            if identity not in seen:
                seen.add(identity)
                yield state


def _states_at(
    number: int, records: Sequence[Record], pending: Sequence[int], subsets: int, chance: random.Random
) -> Iterator[State]:
    record = records[number]
    whole = tuple((each, None) for each in pending)
    is_flushed_next = number + 1 < len(records) and records[number + 1].data is None
    if record.data is None or not is_flushed_next:  # else the flush leaves the same, and more is promised by then
        yield State(f"{'F' if record.data is None else 'W'}{number}", number, record.end, whole)
    if len(pending) > 1:
        for nth in range(subsets):
            share = chance.choice(_SHARES)
            part = tuple(each for each in whole if chance.random() < share)
            if part != whole:
                yield State(f"R{number}.{nth}", number, record.end, part)
    if record.data is not None and len(record.data) > _BLOCK and number % 8 == 0:
        torn = chance.randrange(_BLOCK, len(record.data), _BLOCK)
        yield State(f"T{number}", number, record.end, (*whole[:-1], (number, torn)))
