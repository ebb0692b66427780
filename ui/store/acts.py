"""What is done to jobs: the verbs of the command line, on jobs that were chosen one by one, or on a whole filter.

A scope is fixed in the moment in which it is chosen: single jobs with the states that they had, a filter with its
instant. What has changed since, and what comes later, is left alone.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pqfs import verbs
from pqfs.assignments import refuse_program
from pqfs.clock import iso
from pqfs.errors import Misconfigured, PqfsError
from pqfs.index.filters import Filter, Filters
from pqfs.instants import due, rate
from pqfs.jobqueue import JobQueue
from pqfs.listing import Wanted
from pqfs.model import DEAD, FINAL, Job, State, check_priority
from pqfs.naming import printable
from pqfs.report import consumers
from pqfs.story import is_unpublished
from pqfs.verbs import Bulk, Spread, Tally
from pqfs.wiring import App
from ui.store.door import Answer, answered, ask
from ui.store.undertakings import Author, Undertaking, begin

MOST_COUNTED = 10_000
_PLAIN = {
    "Resubmit": verbs.RETRY, "Cancel": verbs.CANCEL, "Hold": verbs.HOLD, "Release": verbs.RELEASE,
    "Mark failed": verbs.FAIL, "Delete": verbs.DELETE, "Delete the input": verbs.DISCARD,
}  # fmt: skip
_WITH_VALUE = {"Priority": verbs.to_priority(0), "Reschedule": verbs.to_instant(0.0)}
_ANEW = ("Replay", "Edit")  # make new jobs: see ui/store/anew.py
LABELS = (*_PLAIN, *_WITH_VALUE, "Assign", *_ANEW)
OF_MANY = tuple(label for label in LABELS if label != "Edit")
FINAL_ONES = ("Delete", "Delete the input")
_WAITING = (State.PENDING, State.HELD)
_CANARY_POLL = 0.1  # seconds
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Scope:
    """Which jobs are meant: these, each with the state in which it was chosen, or all in a filter. `at`: when."""

    at: float
    jobs: tuple[tuple[str, State], ...] = ()
    filter: Wanted | None = None

    @property
    def is_one(self) -> bool:
        """Whether it is one job."""
        return len(self.jobs) == 1


@dataclass(frozen=True, slots=True)
class Prospect:
    """What an act would do to a scope. `would`: to how many; `is_capped`: to at least so many.

    `passed`: how many in other states, which the act is not for, would be passed over.
    """

    would: int
    is_capped: bool
    passed: tuple[tuple[str, int], ...]
    first: tuple[str, ...]


def chosen(jobs: Sequence[Job]) -> Scope:
    """These jobs, as they are now."""
    return Scope(time.time(), tuple((job.id, job.state) for job in jobs))


def everything(filter_: Wanted) -> Scope:
    """All that are in a filter now."""
    return Scope(time.time(), filter=filter_)


def states_for(label: str) -> tuple[State, ...]:
    """The states that an act is for."""
    if label in _ANEW:
        return verbs.REPLAY.states
    return _WAITING if label == "Assign" else (_PLAIN | _WITH_VALUE)[label].states


# -------------------------------------------------------------------- a look first


def prospect(label: str, scope: Scope) -> Answer[Prospect]:
    """What it would do: counted, nothing changed."""
    return ask(lambda app: _prospect(app, states_for(label), scope))


def _prospect(app: App, states: Sequence[State], scope: Scope) -> Prospect:
    if scope.filter is None:
        return _of_chosen(app, states, scope)
    source, counts, is_capped = Filters(app.index), Counter[State](), False
    for state in _visible(scope.filter, tuple(State)):
        counts[state], is_all = source.count(_filter(scope.filter, (state,)), MOST_COUNTED)
        is_capped |= not is_all and state in states
    first = []
    for job in source.jobs(_filter(scope.filter, _visible(scope.filter, states))):
        first.append(printable(job.name))
        if len(first) == _SHOWN:
            break
    return _counted(counts, states, is_capped, first)


def _of_chosen(app: App, states: Sequence[State], scope: Scope) -> Prospect:
    found = [app.index.job(job) for job, _ in scope.jobs]
    there = [job for job in found if job is not None]
    first = [printable(job.name) for job in there if job.state in states]
    return _counted(Counter(job.state for job in there), states, False, first[:_SHOWN])


def _counted(counts: Counter[State], states: Sequence[State], is_capped: bool, first: Sequence[str]) -> Prospect:
    would = sum(count for state, count in counts.items() if state in states)
    passed = tuple((str(state), count) for state, count in counts.items() if state not in states and count)
    return Prospect(would, is_capped, passed, tuple(first))


def _visible(filter_: Wanted, states: Sequence[State]) -> tuple[State, ...]:
    """Those of the states that the filter shows."""
    if filter_.group is not None:
        states = [state for state in states if state in DEAD]
    return tuple(state for state in states if filter_.state in (None, state))


def _filter(filter_: Wanted, states: Sequence[State], at: float | None = None) -> Filter:
    return Filter(tuple(states), filter_.queue, filter_.name, filter_.since, filter_.until, None, at, filter_.group)


# -------------------------------------------------------------------- the act


def on_jobs(label: str, value: str, scope: Scope, author: Author) -> Answer[int]:
    """Begin an act; the number of its report. `value`: a priority, an instant or duration, a consumer's program."""
    read = answered(lambda: _bulk(label, value))
    if read.value is None:
        return Answer(read.at, None, read.problem, read.hint)
    bulk = read.value

    def work(app: App, undertaking: Undertaking) -> str:
        return _each(app, bulk(app), scope, undertaking)

    return begin(f"{label}{f' {value}' if value else ''}", author, work)


def _bulk(label: str, value: str) -> Callable[[App], Bulk]:
    """The verb with its value.

    Raises:
        Misconfigured: the value can not be.
    """
    match label:
        case "Priority":
            priority = verbs.to_priority(_priority(value))
            return lambda app: priority
        case "Reschedule":
            instant = verbs.to_instant(_instant(value))
            return lambda app: instant
        case "Assign":
            return lambda app: _to_program(app, value or None)
        case _:
            return lambda app: _PLAIN[label]


def _priority(text: str) -> int:
    try:
        return _checked(int(text))
    except ValueError as error:
        raise Misconfigured(f"{text!r} is no priority.", "A whole number; higher runs first.") from error


def _checked(priority: int) -> int:
    check_priority(priority)
    return priority


def _instant(text: str) -> float:
    """`2h` from now, or an instant, or `now`."""
    now = time.time()
    try:
        return due(None, text, now)
    except Misconfigured:
        return due(text, None, now)


def _to_program(app: App, program: str | None) -> Bulk:
    def act(queue: JobQueue, job: Job, actor: str, reason: str | None, now: float) -> object:
        if program is not None:
            refuse_program(app, job, program)
        return queue.assign(job, program, actor, reason, now)

    return Bulk("assign", f"for {program} alone" if program else "for all consumers", _WAITING, _WAITING, act)


def _each(app: App, bulk: Bulk, scope: Scope, undertaking: Undertaking) -> str:
    tally, author = Tally(undertaking.note), undertaking.author
    for job in meant(app, bulk, scope, tally):
        tally.act(app.jobqueue, bulk, job, author.actor, author.reason, app.clock.now())
    tally.await_ends(app.jobqueue)
    return f"{_jobs(tally.done)} {bulk.done}.{_left_alone(app, bulk, scope)}"


def meant(app: App, bulk: Bulk, scope: Scope, tally: Tally) -> Iterator[str]:
    """The jobs of a scope that a verb is for; those that have changed since they were chosen are told instead."""
    if scope.filter is not None:
        wanted = _filter(scope.filter, _visible(scope.filter, bulk.states), scope.at)
        yield from (job.id for job in Filters(app.index).jobs(wanted))
        return
    for job, state in scope.jobs:
        found = app.index.job(job)
        if found is not None and found.state is not state:
            tally.note(job, PqfsError(f"It is {found.state} now; when you chose it it was {state}."))
        else:
            yield job


def _left_alone(app: App, bulk: Bulk, scope: Scope) -> str:
    """What the filter shows and the act is not for."""
    if scope.filter is None:
        return ""
    passed = _prospect(app, bulk.states, scope).passed
    told = ", ".join(f"{count:,} {state}" for state, count in passed)
    return f" Passed over, since {bulk.word} is not for them: {told}." if told else ""


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


# -------------------------------------------------------------------- dead letters


@dataclass(frozen=True, slots=True)
class Care:
    """How carefully dead letters wait again: `rate` as 10/s, 100/m or nothing; `canary`: one first."""

    rate: str = ""
    canary: bool = False


def redrive(group: str, queue: str, care: Care, author: Author) -> Answer[int]:
    """Let a group of dead letters wait again: spread over time, one first."""
    read = answered(lambda: Spread(rate(care.rate.strip() or None)))
    if read.value is None:
        return Answer(read.at, None, read.problem, read.hint)
    bulk, scope = replace(verbs.REDRIVE, act=read.value), everything(Wanted(queue=queue, group=group))

    def work(app: App, undertaking: Undertaking) -> str:
        if care.canary and not _goes_through(app, bulk, scope, undertaking):
            return "The first of them was not completed, so the rest were left as they are."
        return _each(app, bulk, scope, undertaking)

    return begin(f"Redrive group {group} of queue {queue}", author, work)


def _goes_through(app: App, bulk: Bulk, scope: Scope, undertaking: Undertaking) -> bool:
    """Redrive the first and wait for its end; whether it was completed."""
    tally, author = Tally(undertaking.note), undertaking.author
    for job in meant(app, bulk, scope, tally):
        tally.act(app.jobqueue, bulk, job, author.actor, author.reason, app.clock.now())
        if tally.done:
            return _end_of(app, job, undertaking) is State.COMPLETED
    return True  # nobody is left to go first


def _end_of(app: App, job: str, undertaking: Undertaking) -> State | None:
    while (found := app.index.job(job)) and (found.state not in FINAL or is_unpublished(app, found)):
        undertaking.look_up()
        time.sleep(_CANARY_POLL)
    return found.state if found else None


def purge(group: str, queue: str, author: Author) -> Answer[int]:
    """Remove a group of dead letters for good."""
    scope = everything(Wanted(queue=queue, group=group))
    title = f"Purge group {group} of queue {queue}"
    return begin(title, author, lambda app, undertaking: _each(app, verbs.PURGE, scope, undertaking))


def programs() -> Answer[list[str]]:
    """The consumers that live, by program."""
    return ask(lambda app: sorted({each.program for each in consumers(app) if each.is_alive}))


def told_instant(text: str) -> str:
    """When a job would run: `2026-11-22T10:00:00Z`; empty when the text means no instant."""
    found = answered(lambda: _instant(text))
    return "" if found.value is None else f"{iso(found.value)[:19]}Z"
