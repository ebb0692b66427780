"""After a fault: it is gone, others start, everything comes to its end, and nothing may be lost, twice or charged.

`check` runs in a process of its own and returns what is wrong, in sentences.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pqfs.ground
from pqfs.clock import SystemClock, boot_id
from pqfs.index import walk
from pqfs.model import FINAL, State
from pqfs.naming import parse_parked, parse_scratch
from pqfs.settings import load
from tests.crash.harness import World, finish_all
from tests.faults.injector import Action, Call, Fault, Run
from tests.faults.scenarios import Script
from tests.world import SettableClock

Budgets = dict[str, tuple[int, int]]  # a job's name -> failures, crashes
_NO_TRACE = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run without a fault charges, and how it ends."""

    budgets: Budgets


def opened(root: Path) -> World:
    """The spool, as another process of the same boot finds it."""
    settings = load({"config": str(root / "pqfs.toml")}, {}).settings
    script = Script.read(root)
    world = World(root / "spool", settings, SettableClock(time.time() + 1.0, SystemClock().boottime()), boot_id())
    world.sent = {name.encode(): data.encode() for name, data in script.sent.items()}
    world.deleted = {name.encode() for name in script.deleted}
    return world


def budgets(world: World) -> Budgets:
    """What each job was charged."""
    return {job.name.decode(): (job.failures, job.crashes) for job in walk(world.index)}


def check(root: Path, faults: tuple[Fault, ...], run: Run, expected: Budgets) -> list[str]:
    """Everything that is wrong, once the fault is gone and others have done the rest."""
    logging.getLogger("pqfs").setLevel(logging.CRITICAL)  # what is repaired here is not news
    wrong = [*_manners(root, faults, run), *_syncs(root, faults[:1], run)]
    pqfs.ground._MEMORY = root / "alarms"
    try:
        world = opened(root)
        world.recover()
        wrong += _broken_promises(root, world)
        again = world.recover()
        if not again.is_empty:
            wrong.append(f"a second recovery found something to do: {again}")
        _leave_out_what_was_never_taken(root, world)
        finish_all(world)
        wrong += _charged(budgets(world), expected, faults)
        world.close()
    except Exception as error:  # noqa: BLE001 -- whatever it is, the point has failed and the sentence says how
        wrong.append(f"{type(error).__name__}: {error}")
    return wrong


def _manners(root: Path, faults: tuple[Fault, ...], run: Run) -> Iterator[str]:
    """How the process bore the fault: it ended in time, and said what it was in words, not in a traceback."""
    said = (root / "log").read_text(errors="replace")
    if run.status is None:
        yield "it did not end"
    if _NO_TRACE in said:
        yield f"a traceback: {_innermost(said)}"


def _syncs(root: Path, faults: tuple[Fault, ...], run: Run) -> Iterator[str]:
    """A sync of the spool that failed is alarmed, and never asked for again on the same file."""
    for fault in faults:
        if fault.action is not Action.FAIL or fault.call not in ("fsync", "syncfs") or fault.error == "EINTR":
            continue
        at = next((number for number, call in enumerate(run.calls) if _is(call, fault)), None)
        if at is None or run.calls[at].path.startswith("index.db"):
            continue
        if not list((root / "alarms").iterdir()):
            yield "a sync failed, and no alarm stands"
        for call in run.calls[at + 1 :]:
            if call.path.endswith(f" -> {run.calls[at].path}") or (call.call, call.path) == (
                "write",
                run.calls[at].path,
            ):
                break  # a copy has taken its name, or it was written anew: that is other data
            if call.call == fault.call == "fsync" and call.path == run.calls[at].path and _is_file(call.path):
                yield f"{call.path} was synced again after its sync had failed"


def _is(call: Call, fault: Fault) -> bool:
    return (call.process, call.call, call.n) == (fault.process, fault.call, fault.n)


def _is_file(path: str) -> bool:
    """Whether a path is a payload, an output or a small file of ours, by its name; directories are synced often."""
    name = path.rpartition("/")[2]
    return bool(parse_parked(name) or parse_scratch(name)) or name.endswith((".tmp", ".copy", ".json"))


def _innermost(said: str) -> str:
    places = re.findall(r'File "[^"]*/(pqfs/[^"]+)", line (\d+), in (\w+)', said)
    last = [line for line in said.splitlines() if re.match(r"\w[\w.]*(Error|Exception|Fault|Busy|Full)\b", line)]
    where = f"{places[-1][0]}:{places[-1][2]}" if places else "?"
    return f"{where}: {last[-1] if last else '?'}"


def answers(root: Path) -> dict[int, int]:
    """What each command came back with."""
    try:
        lines = (root / "answers").read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {int(line.split()[0]): int(line.split()[1]) for line in lines}


def _broken_promises(root: Path, world: World) -> Iterator[str]:
    """What a command said was done, and is not."""
    kept = answers(root)
    states = {job.name.decode(): job.state for job in walk(world.index)}
    for promise in Script.read(root).promises:
        if kept.get(promise.command) != 0:
            continue
        found = states.get(promise.name)
        if promise.state == "any" and (root / "spool" / "inbox" / promise.name).exists():
            continue  # where the spool itself can not be written, a submitter drops into the inbox, and says so
        wanted = State(promise.state) if promise.state not in (None, "any") else None
        if (promise.state is None) != (found is None) or (wanted and found is not wanted):
            yield f"a person was told that {promise.name} is {promise.state or 'gone'}, and it is {found}"


def _leave_out_what_was_never_taken(root: Path, world: World) -> None:
    """Files that a person submitted without an answer may or may not have become jobs."""
    submitted = {name.encode() for name in (path.name for path in (root / "files").iterdir())}
    known = {job.name for job in walk(world.index)}
    for name in submitted - known:
        world.sent.pop(name, None)


def _charged(found: Mapping[str, tuple[int, int]], expected: Budgets, faults: tuple[Fault, ...]) -> Iterator[str]:
    """No fault of the environment is a failure; a killed process may be a crash of the one job that ran."""
    kills = sum(fault.action is Action.KILL for fault in faults)
    for name, (failures, crashes) in found.items():
        usual, usual_crashes = expected.get(name, (0, 0))
        if failures > usual:
            yield f"{name} was charged {failures} failures instead of {usual}"
        if crashes > usual_crashes + kills:
            yield f"{name} was charged {crashes} crashes instead of {usual_crashes}"


def is_final(world: World) -> bool:
    """Whether everything but what a person holds has come to its end."""
    return all(job.state in FINAL or job.state is State.HELD for job in walk(world.index))
