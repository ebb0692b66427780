"""So many power-loss states over several file systems, by several processes: one recording after the other."""

from __future__ import annotations

import logging
import pickle
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import resources
from multiprocessing import get_context
from pathlib import Path

from pqfs.kernel import die_with_parent
from tests.power.disk import compile_disk
from tests.power.examination import Violation
from tests.power.filesystems import Layout
from tests.power.mounts import private_mounts
from tests.power.mutants import Mutant
from tests.power.recording import Recording, Trial, bench, make_spools, record
from tests.power.replay import replayer
from tests.power.states import State, states

_SUBSETS = 2  # random parts of each window
_FRESH = 4  # every fourth recording begins before the spool is made
_SHARE = 2000  # states asked of one recording at most: more than it has
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is tried. `keep`: a folder for the recordings that broke something."""

    states: int
    seed: int
    file_systems: tuple[str, ...]
    index: str = "same"
    durable: bool = True
    mutant: Mutant | None = None
    jobs: int = 1
    acts: int = 30
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One recording's states: how many, and in which of them what went wrong."""

    file_system: str
    seed: int
    states: int
    seconds: float
    broken: dict[str, list[Violation]] = field(default_factory=dict)
    endings: Counter[str] = field(default_factory=Counter)  # of verbs under I/O errors

    def kinds(self) -> Counter[str]:
        """In how many states each kind of violation was seen."""
        return Counter(kind for found in self.broken.values() for kind in {each.kind for each in found})

    def sentences(self) -> Iterator[str]:
        """One sentence for each state that was broken."""
        yield from (f"{state}: {found[0].text}" for state, found in self.broken.items())


def campaign(plan: Plan, progress: Callable[[Tried], None] = lambda tried: None) -> list[Tried]:
    """Try at least so many states, shared out evenly over the file systems."""
    with pool(plan) as (workers, program):
        return list(_all_tried(plan, workers, program, progress))


@contextmanager
def pool(plan: Plan) -> Iterator[tuple[ProcessPoolExecutor, Path]]:
    """Processes that try states, and the disk's program, in a folder in memory that is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        program = compile_disk(Path(name))
        workers = ProcessPoolExecutor(plan.jobs, get_context("fork"), initializer=_begin_worker)
        try:
            yield workers, program
        finally:
            workers.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """A process whose mounts nobody else sees, which ends with us, and which is quiet."""
    die_with_parent(signal.SIGKILL)
    private_mounts()
    logging.getLogger("pqfs").setLevel(logging.CRITICAL + 1)
    resources.files("pqfs.index").joinpath("statements.sql").read_text()  # what it imports, no child has to


def _all_tried(
    plan: Plan, workers: ProcessPoolExecutor, program: Path, progress: Callable[[Tried], None]
) -> Iterator[Tried]:
    """Recording after recording, always of the file system with most left to try."""
    left = dict.fromkeys(plan.file_systems, -(-plan.states // len(plan.file_systems)))
    running: dict[Future[Tried], tuple[str, int]] = {}
    seeds = dict.fromkeys(plan.file_systems, plan.seed)
    while any(left.values()) or running:
        while any(left.values()) and len(running) < plan.jobs:
            name = max(left, key=left.__getitem__)
            share = min(left[name], _SHARE)
            left[name] -= share
            running[workers.submit(try_one, plan, program, name, seeds[name], share)] = name, share
            seeds[name] += 1
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            name, share = running.pop(future)
            tried = future.result()
            left[name] += share - tried.states
            progress(tried)
            yield tried


def try_one(plan: Plan, program: Path, name: str, seed: int, limit: int) -> Tried:
    """Record one workload and try its states, at most so many, picked at random where there are more."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        recording = record_one(plan, program, Path(folder), name, seed)
        chance = random.Random(seed)
        found = list(states(recording.records, _SUBSETS, chance, recording.ledger.promised))
        if len(found) > limit:
            found = sorted(chance.sample(found, limit), key=lambda state: state.at)
        broken = _ask_all(recording, found, Path(folder))
    label = f"{recording.layout}-{seed}"
    if broken and plan.keep:
        plan.keep.mkdir(parents=True, exist_ok=True)
        (plan.keep / f"{label}.recording").write_bytes(pickle.dumps(recording))
    named = {f"{label}-{state}": wrong for state, wrong in broken.items()}
    return Tried(name, seed, len(found), time.monotonic() - started, named)


def record_one(plan: Plan, program: Path, folder: Path, name: str, seed: int) -> Recording:
    """One recording on fresh file systems."""
    with bench(program, folder, Layout.of(name, plan.index)) as empty:
        ready = empty if seed % _FRESH == 0 else make_spools(empty)
        return record(ready, Trial(seed, plan.acts, plan.durable, plan.mutant))


def _ask_all(recording: Recording, found: list[State], folder: Path) -> dict[str, list[Violation]]:
    with replayer(recording, folder) as replay:
        asked = {state.label: replay.ask(state, folder) for state in found}
    return {label: wrong for label, wrong in asked.items() if wrong}


def try_state(plan: Plan, label: str) -> Tried:
    """One state again, by its label: from the kept recording, or from a new one of the same seed.

    A new recording is alike, not equal: ids, and what the kernel writes when, are its own.
    """
    layout, seed, wanted = label.rsplit("-", 2)
    name, _, index = layout.partition("+")
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as scratch:
        folder = Path(scratch)
        _begin_worker()
        kept = plan.keep / f"{layout}-{seed}.recording" if plan.keep else folder
        if kept.is_file():
            recording: Recording = pickle.loads(kept.read_bytes())
        else:
            alike = replace(plan, index="other" if index else "same")
            recording = record_one(alike, compile_disk(folder), folder, name, int(seed))
        every = states(recording.records, _SUBSETS, random.Random(int(seed)), recording.ledger.promised)
        found = [state for state in every if state.label == wanted]
        broken = _ask_all(recording, found, folder)
    return Tried(name, int(seed), len(found), 0.0, {f"{layout}-{seed}-{key}": wrong for key, wrong in broken.items()})
