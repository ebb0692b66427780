"""Every scene against every fault of the disk: how many I/O errors, how the verbs ended, and what was wrong."""

from __future__ import annotations

import errno
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import as_completed
from pathlib import Path

from tests.power.campaign import Plan, Tried, pool
from tests.power.examination import Violation
from tests.power.filesystems import Layout
from tests.power.recording import bench, make_spools
from tests.power.scenes import SCENES
from tests.power.trouble import Fault, try_fault

_NOT_REACHED = "not reached"  # the verb was done before so many had passed
_ONCE_A_WHILE_FOR_EVER = (1, 10, -1)


def every_fault(disks: int) -> list[Fault]:
    """Once, ten times, for ever; writes and flushes; after so many that passed; each disk; a stranger told first."""
    found = []
    for disk in range(disks):
        for count in _ONCE_A_WHILE_FOR_EVER:
            found += [Fault(disk, writes=count, passes=passes) for passes in range(6)]
            found += [Fault(disk, flushes=count, passes=passes) for passes in range(3)]
        found += [Fault(disk, errno.ENOSPC, writes=1, passes=passes) for passes in range(3)]
        found += [Fault(disk, writes=count, stranger=True) for count in (2, 10)]
    return found


def io_errors(plan: Plan, progress: Callable[[Tried], None] = lambda tried: None) -> list[Tried]:
    """Try so many errors, shared out evenly over file systems and scenes; all there are where that is more."""
    share = -(-plan.states // (len(plan.file_systems) * len(SCENES)))
    tried = []
    with pool(plan) as (workers, program):
        tasks = [
            workers.submit(try_scene, plan, program, name, scene, share)
            for scene in SCENES
            for name in plan.file_systems
        ]
        for task in as_completed(tasks):
            tried.append(task.result())
            progress(tried[-1])
    return tried


def try_scene(plan: Plan, program: Path, name: str, scene: str, limit: int) -> Tried:
    """One verb on one layout, under at most so many faults."""
    started = time.monotonic()
    layout = Layout.of(name, plan.index)
    faults = every_fault(len(layout.disks))
    chosen = random.Random(f"{plan.seed} {scene}").sample(faults, min(limit, len(faults)))
    broken: dict[str, list[Violation]] = {}
    ended: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=program.parent) as folder, bench(program, Path(folder), layout) as empty:
        ready = make_spools(empty)
        for fault in chosen:
            deed, wrong = try_fault(ready, scene, fault, plan.mutant)
            ended[deed.ending if deed.failed else _NOT_REACHED] += 1
            if wrong:
                broken[f"{layout}, {scene}, {fault}"] = wrong
    reached = len(chosen) - ended.pop(_NOT_REACHED, 0)
    return Tried(name, plan.seed, reached, time.monotonic() - started, broken, ended)
