"""What the tree alone tells of a job: the path of its payload, its meta file, the name of its output.

For adoption (a payload whose arriver died before its commit) and for a rebuild (an index that was lost). What is
not in the tree can not be told: attempts, budgets, errors, and whether an attempt in claimed/ had been published.
"""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property

from pqfs import clock, naming
from pqfs.clock import parse_day
from pqfs.model import DEFAULT_QUEUE, PRIORITY_LIMIT, Arrival, Job, Place, State
from pqfs.naming import Claimed, Parked
from pqfs.settings import Settings
from pqfs.spool import Spool

_STATE_OF: dict[Place, tuple[State, str | None]] = {
    Place.READY: (State.PENDING, None),
    Place.CLAIMED: (
        State.HELD,
        "found in claimed/ by a rebuild: it may already have been published; release or cancel",
    ),
    Place.DONE: (State.COMPLETED, None),
    Place.DEAD: (State.FAILED, "found in dead/ by a rebuild: its error is not in the tree"),
    Place.CANCELLED: (State.CANCELLED, None),
}
_PLACE_OF = {
    State.PENDING: Place.READY,
    State.HELD: Place.READY,
    State.COMPLETED: Place.DONE,
    State.FAILED: Place.DEAD,
    State.CANCELLED: Place.CANCELLED,
}
_COULD_BE_PUBLISHED = (State.PENDING, State.HELD, State.COMPLETED)
_TOLD_BY_OUTPUT = "completed, as its output in the outbox tells; its row was lost"
_LEAST = 10**19  # a stamp's 20 digits less this fit into 64 bits
_FAR = 4102444800.0  # the year 2100


class Witness:
    """Reads one spool as it lies. The outbox is listed once: take a new witness for a new look."""

    def __init__(self, spool: Spool, settings: Settings) -> None:
        self._spool = spool
        self._settings = settings

    def arrival(self, path: str, parked: Parked | Claimed) -> Arrival | None:
        """What a payload's path and meta file say of its job; None when it is not a regular file."""
        found = self._spool.status(path)
        if found is None or not stat.S_ISREG(found.st_mode):
            return None
        meta = self._spool.read_meta(parked.job)
        return Arrival(
            id=parked.job,
            queue=parked.queue,
            name=naming.original(meta.get("name", parked.name)),
            size=found.st_size,
            priority=int(
                _number(
                    meta.get("priority"), self._settings.queue(parked.queue).priority, -PRIORITY_LIMIT, PRIORITY_LIMIT
                )
            ),
            ready_at=_number(meta.get("ready_at"), 0.0, 0.0, _FAR),
            held=bool(meta.get("held", False)),
            options=options if isinstance(options := meta.get("options"), dict) else None,
            assigned_to=assigned if isinstance(assigned := meta.get("assigned_to"), str) else None,
        )

    def job(self, path: str, name: Parked | Claimed) -> Job | None:
        """The row that the tree tells for a payload, not confirmed; None when it is not a regular file."""
        arrival = self.arrival(path, name)
        if arrival is None:
            return None
        state, note = _STATE_OF[Place(path.partition("/")[0])]
        if state is State.PENDING and arrival.held:
            state = State.HELD
        stamp = self._published.stamp(name.job) if state in _COULD_BE_PUBLISHED else None
        created = naming.id_time(name.job)
        ended = self._ended_at(path, created)
        if stamp and state is not State.COMPLETED:
            state, note, ended = State.COMPLETED, _TOLD_BY_OUTPUT, _instant(stamp, ended)
        job = Job(
            id=name.job, queue=name.queue, name=arrival.name, arriver=arriver_of(path), state=state,
            place=_PLACE_OF[state], confirmed=False, priority=arrival.priority,
            attempt=name.attempt if isinstance(name, Claimed) else 0, failures=0, crashes=0, losses=0,
            owner=None, size=arrival.size, created_at=created, ready_at=arrival.ready_at or created,
            updated_at=ended, error=note, options=arrival.options, assigned_to=arrival.assigned_to,
        )  # fmt: skip
        if state is not State.COMPLETED:
            return job
        at = stamp or clock.stamp(ended)
        return replace(job, output=f"{at}_{naming.id12(job.id)}_{naming.disk_name(job.name)}")

    def published_at(self, job: str) -> str | None:
        """The stamp of a job's output that lies in the outbox; None when none does."""
        return self._published.stamp(job)

    def job_of_output(self, path: str) -> Job | None:
        """The completed job of which nothing but its output is left; None when pqfs did not name this."""
        folder, _, text = path.removeprefix("outbox/").rpartition("/")
        output = naming.parse_output(text)
        if output is None:
            return None
        at = _instant(output.stamp, 0.0)
        name = naming.original(output.name)
        return Job(
            id=naming.id_of_tail(at, output.id12), queue=folder or DEFAULT_QUEUE, name=name, arriver="rebuilt",
            state=State.COMPLETED, place=Place.GONE, confirmed=True, priority=0, attempt=0, failures=0, crashes=0,
            losses=0, owner=None, size=0, created_at=at, ready_at=at, updated_at=at, output=text,
            error="known from its output only: its input and its row are gone",
        )  # fmt: skip

    def _ended_at(self, path: str, created: float) -> float:
        """When a job ended: the day of its done/ directory decides where its payload is looked for."""
        ended = parse_day(path.split("/")[1]) if path.startswith("done/") else None
        if ended is not None:
            return ended
        found = self._spool.status(path)
        return found.st_ctime if found else created

    @cached_property
    def _published(self) -> Published:
        return Published(outputs(self._spool))


class Published:
    """When the jobs whose outputs lie in the outbox were completed, by the tails of their ids: 16 bytes each."""

    def __init__(self, names: Iterable[str]) -> None:
        found = sorted(
            int(each.id12, 16) << 64 | int(each.stamp[:8] + each.stamp[9:15] + each.stamp[16:22]) - _LEAST
            for each in map(naming.parse_output, names)
            if each
        )
        self._tails = array("Q", (each >> 64 for each in found))
        self._instants = array("Q", (each & 2**64 - 1 for each in found))

    def stamp(self, job: str) -> str | None:
        """The stamp in the name of a job's output; None when it has none in the outbox."""
        tail = int(naming.id12(job), 16)
        at = bisect_left(self._tails, tail)
        if at == len(self._tails) or self._tails[at] != tail:
            return None
        digits = str(self._instants[at] + _LEAST)
        return f"{digits[:8]}T{digits[8:14]}.{digits[14:]}Z"


def outputs(spool: Spool) -> Iterator[str]:
    """The names in the outbox and in its queues' folders."""
    for name, is_file in spool.listing("outbox"):
        if is_file or naming.output_id12(name):
            yield name
        else:
            yield from (inner for inner, _ in spool.listing(f"outbox/{name}"))


def _instant(stamp: str, default: float) -> float:
    try:
        return clock.parse_stamp(stamp)
    except ValueError:
        return default  # digits that are no date


def _number(value: object, default: float, low: float, high: float) -> float:
    """A number from a meta file, within its bounds; the default for what is none."""
    if not isinstance(value, int | float) or value != value:
        return default
    return min(max(value, low), high)


def arriver_of(path: str) -> str:
    """Whose directory of ready/ a payload lies in; `rebuilt` for one that lies elsewhere."""
    first, _, rest = path.partition("/")
    return os.path.dirname(rest) if first == "ready" else "rebuilt"
