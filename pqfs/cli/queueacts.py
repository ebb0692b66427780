"""How `pqfs queue create`, `set`, `pause`, `resume`, `drain`, `purge` and `delete` work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from pqfs.clearing import WAITING, Clearing
from pqfs.cli import progress, terminal
from pqfs.errors import Misconfigured, PqfsError, Refused, TimedOut
from pqfs.instants import seconds
from pqfs.model import FURTHEST, State
from pqfs.queueing import Queueing
from pqfs.terms import as_written, refuse_those_of_the_file

if TYPE_CHECKING:
    from pqfs.wiring import App

_ASK_EVERY = 0.1  # seconds
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Manner:
    """How an act is done: why, answering in JSON, for show only, without a question."""

    reason: str | None
    as_json: bool
    dry_run: bool = False
    yes: bool = False


@dataclass(frozen=True, slots=True)
class Emptying:
    """How a queue is to become empty before it goes: drained, purged, and how long that may take."""

    drained: bool
    purged: bool
    timeout: str | None


@dataclass
class Tally:
    """What became of each: queues, or jobs."""

    done: list[str] = field(default_factory=list)
    skipped: list[tuple[str, PqfsError]] = field(default_factory=list)

    def exit_code(self) -> int:
        """0 all done; 7 some; else that of the first error."""
        if not self.skipped:
            return 0
        return 7 if self.done else self.skipped[0][1].exit_code


@contextmanager
def _opened(context: typer.Context) -> Iterator[App]:
    app = terminal.opened(context)
    try:
        yield app
    finally:
        app.close()


# -------------------------------------------------------------------- settings


def create(context: typer.Context, name: str, values: Sequence[str], manner: Manner) -> None:
    """Make a queue with these values."""
    wishes = _wishes(values)
    with _opened(context) as app:
        Queueing(app.jobqueue).create(name, wishes, terminal.actor(), manner.reason, app.clock.now())
        _have_courier(app, wishes)
    _put("create", [name], manner)
    terminal.say(f"Queue {name} is made. Drop files into inbox/{name}/, or: pqfs submit -q {name} FILE")


def set_values(
    context: typer.Context, name: str, values: Sequence[str], unset: Sequence[str], manner: Manner
) -> None:
    """Set values, and take others back."""
    wishes = _wishes(values)
    refuse_those_of_the_file(unset)
    taken_back = [as_written(each, "")[0] for each in unset]
    if not wishes and not taken_back:
        raise Refused("Nothing is to be set.", f"See what can be: pqfs queue show {name}")
    if both := wishes.keys() & set(taken_back):
        raise Refused(f"{min(both)} can not be set and taken back at once.")
    with _opened(context) as app:
        queueing = Queueing(app.jobqueue)
        if manner.dry_run:
            queueing.preview(name, wishes, taken_back)
        else:
            queueing.set(name, wishes, taken_back, terminal.actor(), manner.reason, app.clock.now())
            _have_courier(app, wishes)
    _put("set", [name], manner)
    would = "would be" if manner.dry_run else "is"
    said = [f"{key} = {value if value is not None else 'none'}" for key, value in wishes.items()]
    said += [f"{key} as in pqfs.toml" for key in taken_back]
    terminal.say(f"Queue {name} {would} set: {', '.join(said)}.")


def _have_courier(app: App, wishes: Mapping[str, Any]) -> None:
    """Start the courier of a stack that runs, if a queue has just been given receipts."""
    if "receipts" not in wishes:
        return
    from pqfs.stack.configuration import SOCKET
    from pqfs.stack.supervisor import Supervisor

    supervisor = Supervisor(app.settings.spool / SOCKET)
    couriers = (
        [each for each in supervisor.processes() if each.name == "courier"] if supervisor.is_listening() else []
    )
    for each in couriers:
        if each.state not in ("RUNNING", "STARTING"):
            supervisor.start(each)


def _wishes(values: Sequence[str]) -> dict[str, Any]:
    """`name=value` each.

    Raises:
        Misconfigured: one is not written so, stands twice, or stands in pqfs.toml only.
    """
    found: dict[str, Any] = {}
    for each in values:
        name, is_value, text = each.partition("=")
        if not is_value or not name:
            raise Misconfigured(f"{each!r} is not written name=value.", "For instance: max_failures=5")
        refuse_those_of_the_file([name])
        name, value = as_written(name.strip(), text.strip())
        if name in found:
            raise Misconfigured(f"{name} is given twice.")
        found[name] = value
    return found


# -------------------------------------------------------------------- pause, resume


def pause(context: typer.Context, names: Sequence[str], period: str | None, manner: Manner) -> None:
    """Pause each of these queues."""
    length = seconds(period)
    if length is not None and not 0.0 < length <= FURTHEST:
        raise Misconfigured("A queue can be paused for more than no time and up to ten years.")
    with _opened(context) as app:
        now = app.clock.now()
        until = None if length is None else now + length

        def act(name: str) -> None:
            Queueing(app.jobqueue).pause(name, until, terminal.actor(), manner.reason, now)

        _each("pause", names, act, manner)
    until_when = "" if until is None else f" until {terminal.when(until)}"
    terminal.say(f"Nothing is claimed from {', '.join(names)}{until_when}. What runs goes on.")


def resume(context: typer.Context, names: Sequence[str], manner: Manner) -> None:
    """Resume each of these queues."""
    with _opened(context) as app:

        def act(name: str) -> None:
            Queueing(app.jobqueue).resume(name, terminal.actor(), manner.reason, app.clock.now())

        _each("resume", names, act, manner)


def _each(verb: str, names: Sequence[str], act: Callable[[str], None], manner: Manner) -> None:
    """Do it to each; one alone raises its error, of several those that failed are told."""
    tally = Tally()
    for name in dict.fromkeys(names):
        try:
            act(name)
            tally.done.append(name)
        except PqfsError as error:
            if len(names) == 1:
                raise
            tally.skipped.append((name, error))
    _report(verb, tally, manner)
    if tally.skipped:
        raise typer.Exit(tally.exit_code())


# -------------------------------------------------------------------- drain, purge, delete


def drain(context: typer.Context, name: str, timeout: str | None, manner: Manner) -> None:
    """Close a queue and wait until it is worked off."""
    patience = seconds(timeout)
    with _opened(context) as app:
        _drain(_clearing(app, name, manner), name, patience)
        held = Queueing(app.jobqueue).left(name).get(State.HELD, 0)
    _put("drain", [name], manner)
    rest = f" Held jobs stay: {held}." if held else ""
    terminal.say(f"Queue {name} is drained and takes nothing in.{rest} Open it again: pqfs queue resume {name}")


def _clearing(app: App, name: str, manner: Manner) -> Clearing:
    return Clearing(app, name, terminal.actor(), manner.reason)


def _drain(clearing: Clearing, name: str, patience: float | None) -> None:
    """Close, then wait; what waits for its time is waited for, too.

    Raises:
        Refused: it is paused, so that nothing of it would ever run.
        TimedOut: patience was over; the queue stays closed.
    """
    clearing.close(to_run=True)
    if clearing.busy() and not clearing.is_served():
        terminal.say(f"No living consumer serves queue {name}. Start pqfs (pqfs up), or: pqfs consume -q {name}")
    _await(clearing, name, patience)


def _await(clearing: Clearing, name: str, patience: float | None) -> None:
    """Wait until nothing of a queue waits or runs."""
    left = clearing.busy()
    deadline = time.monotonic() + (float("inf") if patience is None else patience)
    with progress.bar("draining", left) as advance:
        while left:
            if time.monotonic() >= deadline:
                raise TimedOut(
                    f"Queue {name} is not drained yet: {left} jobs wait or run. It takes nothing in meanwhile.",
                    f"Wait on with the same command, or open it again: pqfs queue resume {name}",
                )
            time.sleep(_ASK_EVERY)
            before, left = left, clearing.busy()
            advance(before - left)


def purge(context: typer.Context, name: str, manner: Manner) -> None:
    """Delete what waits in a queue."""
    with _opened(context) as app:
        Queueing(app.jobqueue).queue(name)
        clearing = _clearing(app, name, manner)
        if manner.dry_run:
            _report("purge", Tally(list(clearing.listed(WAITING))), manner)
            return
        if count := clearing.waiting():
            terminal.confirm(f"Delete {count} waiting jobs of queue {name}, and their files?", manner.yes)
        tally = _purge(clearing, count)
    _report("purge", tally, manner)
    if tally.skipped:
        raise typer.Exit(tally.exit_code())


def _purge(clearing: Clearing, count: int) -> Tally:
    """It can be stopped at any moment and begun again."""
    tally = Tally()
    with progress.bar("deleting", count) as advance:
        for job, error in clearing.purge():
            if error is None:
                tally.done.append(job)
            else:
                tally.skipped.append((job, error))
            advance(1)
    return tally


def delete(context: typer.Context, name: str, how: Emptying, manner: Manner) -> None:
    """Delete a queue, once it is empty."""
    patience = seconds(how.timeout)
    with _opened(context) as app:
        queueing = Queueing(app.jobqueue)
        queueing.refuse_to_delete(name, even_if_full=how.drained or how.purged)
        if manner.dry_run:
            _put("delete", [name], manner)
            terminal.say(f"Queue {name} would be deleted.")
            return
        if how.purged:
            _purge_all(app, name, patience, manner)
        elif how.drained:
            _drain(_clearing(app, name, manner), name, patience)
        _clearing(app, name, manner).delete()
    _put("delete", [name], manner)
    terminal.say(f"Queue {name} is deleted. Its outputs stay in outbox/{name}/.")


def _purge_all(app: App, name: str, patience: float | None, manner: Manner) -> None:
    """Take nothing in, delete what waits, wait for what runs, delete what has failed or was cancelled."""
    if left := Queueing(app.jobqueue).left(name):
        told = ", ".join(f"{count} {state}" for state, count in left.items())
        terminal.confirm(f"Delete these jobs of queue {name}, and their files: {told}?", manner.yes)
    clearing = _clearing(app, name, manner)
    clearing.close(to_run=False)
    _purge(clearing, clearing.waiting())
    _await(clearing, name, patience)
    for _ in clearing.delete_the_rest():
        pass


# -------------------------------------------------------------------- telling


def _report(verb: str, tally: Tally, manner: Manner) -> None:
    _put(verb, tally.done, manner, tally.skipped)
    for each, error in tally.skipped[:_SHOWN]:
        terminal.say(f"  skipped {each}: {error.message}")
    if len(tally.skipped) > _SHOWN:
        terminal.say(f"  … and {len(tally.skipped) - _SHOWN} more skipped")


def _put(
    verb: str, done: Sequence[str], manner: Manner, skipped: Sequence[tuple[str, PqfsError]] = ()
) -> None:  # fmt: skip
    if manner.as_json:
        items = [{"id": each, "done": True, "why": None} for each in done]
        items += [{"id": each, "done": False, "why": error.message} for each, error in skipped]
        terminal.put_json("acts", items, verb=verb, dry_run=manner.dry_run)
        return
    for each in done:
        terminal.put(each)
