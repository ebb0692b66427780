"""Which jobs a bulk act means: ids, ids from stdin, or a filter; and what each verb is to do with them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pqfs.errors import Refused
from pqfs.model import FINAL, State

if TYPE_CHECKING:
    from pqfs.jobqueue import JobQueue
    from pqfs.model import Job
    from pqfs.wiring import App

    Act = Callable[[JobQueue, Job, str, str | None, float], object]

_NEWEST = "~"  # sorts behind every id
_PAGE = 1000
_FEW = 10_000


@dataclass(frozen=True, slots=True)
class Bulk:
    """A verb for people: how it is said, what it is done to, and the states that a filter means by itself."""

    word: str
    done: str
    states: tuple[State, ...]
    usual: tuple[State, ...]

    def act(self) -> Act:
        """The verb of jobqueue."""
        from pqfs.jobqueue import JobQueue

        verbs: dict[str, Act] = {
            "retry": JobQueue.redrive, "cancel": JobQueue.cancel, "hold": JobQueue.hold,
            "release": JobQueue.release, "fail": JobQueue.fail, "delete": JobQueue.delete,
        }  # fmt: skip
        return verbs[self.word]


_DEAD = (State.FAILED, State.UNPROCESSABLE)
_ENDED = tuple(state for state in State if state in FINAL)
RETRY = Bulk("retry", "wait again", (*_DEAD, State.CANCELLED), _DEAD)
CANCEL = Bulk("cancel", "cancelled", (State.PENDING, State.HELD, State.PROCESSING), (State.PENDING, State.HELD))
HOLD = Bulk("hold", "held", (State.PENDING,), (State.PENDING,))
RELEASE = Bulk("release", "released", (State.HELD,), (State.HELD,))
FAIL = Bulk("fail", "marked failed", (State.PENDING, State.HELD), (State.PENDING, State.HELD))
DELETE = Bulk("delete", "deleted", _ENDED, _ENDED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The jobs that a command line names. `is_one`: one id was written out, so nothing need be asked."""

    ids: list[str]
    is_one: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """What a command line names: ids (`-`: more from stdin), or a filter."""

    ids: Sequence[str]
    state: State | None = None
    queue: str | None = None
    everything: bool = False


def wanted(app: App, bulk: Bulk, selection: Selection) -> Wanted:
    """The ids that are meant.

    Raises:
        Refused: nothing is named, ids and a filter are named together, or no job in that state can be meant.
    """
    ids, state, queue = selection.ids, selection.state, selection.queue
    has_filter = bool(state or queue or selection.everything)
    if bool(ids) == has_filter:
        raise Refused(
            "Name jobs by id, or by --state, --queue or --all, but not both.", f"See: pqfs jobs {bulk.word} --help"
        )
    if ids:
        named = list(dict.fromkeys(_expanded(ids)))
        return Wanted(named, is_one=len(ids) == 1 and ids[0] != "-")
    if state and state not in bulk.states:
        raise Refused(f"{bulk.word} is not possible for jobs that are {state}.")
    states = (state,) if state else bulk.usual
    return Wanted([job for each in states for job in _matching(app, each, queue)], is_one=False)


def _expanded(ids: Sequence[str]) -> Iterator[str]:
    for each in ids:
        if each == "-":
            yield from (line.split()[0] for line in sys.stdin if line.strip())
        else:
            yield each


def _matching(app: App, state: State, queue: str | None) -> Iterator[str]:
    """The ids of all jobs in a state. Those set aside are listed in another order, so at once, or by a walk."""
    from pqfs.index import walk

    if state in (State.HELD, State.FAILED, State.UNPROCESSABLE, State.CANCELLED):
        page = app.index.jobs(state, queue, _NEWEST, _FEW + 1)
        if len(page) > _FEW:
            yield from (job.id for job in walk(app.index) if job.state is state and queue in (None, job.queue))
        else:
            yield from (job.id for job in page)
        return
    before = _NEWEST
    while page := app.index.jobs(state, queue, before, _PAGE):
        yield from (job.id for job in page)
        before = page[-1].id
