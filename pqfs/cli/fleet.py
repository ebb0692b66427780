"""How `pqfs consumers …` acts and shows: begin, wait with a word now and then, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from pqfs.cli import terminal
from pqfs.errors import ConsumerNotFound, Unavailable
from pqfs.report import RunningJob, consumers
from pqfs.stack.configuration import SOCKET
from pqfs.stack.crew import Member, crew
from pqfs.stack.fleet import Author, Change, Fleet
from pqfs.stack.supervisor import Supervisor

if TYPE_CHECKING:
    from pqfs.wiring import App

_LOOK_EVERY = 0.1
_SAY_EVERY = 5.0
_COLUMNS = ("consumer", "state", "pid", "uptime", "queues", "completed", "beat", "runs")
_SERVICES = ("ingester", "janitor", "courier")


@dataclass(frozen=True, slots=True)
class Manner:
    """How a change is made: why, how long it is waited for (None: as long as it takes), answering in JSON."""

    reason: str | None
    timeout: float | None
    as_json: bool


@contextmanager
def _opened(context: typer.Context, read_only: bool = False) -> Iterator[tuple[App, Fleet]]:
    app = terminal.opened(context, read_only)
    try:
        yield app, Fleet(app, Supervisor(app.settings.spool / SOCKET))
    finally:
        app.close()


# -------------------------------------------------------------------- list


def show(context: typer.Context, as_json: bool) -> None:
    """Print every consumer that runs or is wanted."""
    with _opened(context, read_only=True) as (app, fleet):
        members = crew(app, fleet)
    if as_json:
        terminal.put_json("consumers", [asdict(each) for each in members])
        return
    terminal.put_table(map(_shown, members), _COLUMNS)


def _shown(member: Member) -> dict[str, Any]:
    return {
        "consumer": member.program, "state": member.state, "pid": member.pid,
        "uptime": None if member.uptime is None else terminal.elapsed(member.uptime),
        "queues": "all" if member.queues is None else ",".join(member.queues), "completed": member.completed,
        "beat": None if member.silent is None else f"{member.silent:.0f}s ago", "runs": _runs(member),
    }  # fmt: skip


def _runs(member: Member) -> str | None:
    if member.job is None:
        return None
    progress = f", {member.progress:.0%}" if member.progress else ""
    return f"{member.job} {member.name} for {member.running_for or 0.0:.1f} s{progress}"


# -------------------------------------------------------------------- change


def change(context: typer.Context, manner: Manner, act: Callable[[Fleet, Author], Change]) -> None:
    """Make a change, wait until it is carried out, and report; leaves with 3 when that takes too long."""
    with _opened(context) as (app, fleet):
        begun = act(fleet, Author(terminal.actor(), manner.reason))
        left = _wait(app, fleet, begun, manner.timeout) if begun.is_running else []
    _report(begun, left, manner.as_json)
    if left:
        raise typer.Exit(3)


def _wait(app: App, fleet: Fleet, begun: Change, timeout: float | None) -> list[str]:
    """Wait for a change, and tell every few seconds what it waits for; what is left of it when patience is over."""
    deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
    say_at = time.monotonic() + _SAY_EVERY / 5
    while left := fleet.pending(begun):
        now = time.monotonic()
        if now >= deadline:
            return left
        if now >= say_at:
            _say_waiting(app, left)
            say_at = now + _SAY_EVERY
        time.sleep(_LOOK_EVERY)
    return []


def _say_waiting(app: App, left: Sequence[str]) -> None:
    seen = {each.program: each.running for each in consumers(app)}
    for name in left:
        running = seen.get(name)
        terminal.say(f"{name} {_doing(running) if running else 'is on its way'}")


def _doing(running: RunningJob) -> str:
    done = f", {running.progress:.0%} done" if running.progress else ""
    return f"runs {running.name} ({running.job}) for {running.seconds:.0f} s{done}"


def _report(begun: Change, left: Sequence[str], as_json: bool) -> None:
    if as_json:
        wanted = [{"consumer": name, "queues": queues} for name, queues in sorted(begun.roster.items())]
        began = {"started": begun.started, "ended": begun.ended, "pending": left, "is_running": begun.is_running}
        terminal.put_json("fleet", wanted, **began)
        return
    for name in (*begun.started, *begun.ended):
        how = "started" if name in begun.started else "ended"
        terminal.put(f"{name} {'still to be ' if name in left else ''}{how}")
    if left:
        terminal.say("It goes on. Look: pqfs consumers list")
    else:
        terminal.say(f"Consumers: {len(begun.roster)}." if begun.is_running else _later(begun))


def _later(begun: Change) -> str:
    return f"pqfs is not running here; consumers from its next start on: {len(begun.roster)}."


# -------------------------------------------------------------------- restart


def restart(context: typer.Context, names: Sequence[str], timeout: float) -> None:
    """Start consumers anew, one after another; without names all that are wanted, then ingester and janitor.

    Raises:
        NotRunning: there is no stack.
        ConsumerNotFound: one of them does not run.
        Unavailable: one does not come back in time; those behind it were left alone.
    """
    with _opened(context) as (_, fleet):
        there = fleet.slots()
        for name in names:
            if name not in there or there[name].is_spare:
                raise ConsumerNotFound(name, sorted(each for each, slot in there.items() if not slot.is_spare))
        wanted = list(names) or sorted(set(fleet.roster()) & there.keys())
        more = () if names else [name for name in _SERVICES if name != "courier" or fleet.is_up(name)]
        for name in (*wanted, *more):
            fleet.restart(name, Author(terminal.actor()))
            _await_return(fleet, name, timeout)
            terminal.put(name)


def _await_return(fleet: Fleet, name: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not fleet.is_up(name):
        if time.monotonic() > deadline:
            raise Unavailable(f"{name} does not come back.", f"See: pqfs logs {name}")
        time.sleep(_LOOK_EVERY)
