"""What the tree alone tells of a job: the path of its payload, its meta file, the name of its output.

For adoption (a payload whose arriver died before its commit) and for a rebuild (an index that was lost). What is
not in the tree can not be told: attempts, budgets, errors, and whether an attempt in claimed/ had been published.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

from pqfs import naming
from pqfs.clock import parse_day
from pqfs.model import PRIORITY_LIMIT, Arrival, Job, Place, State
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
        )

    def job(self, path: str, name: Parked | Claimed) -> Job | None:
        """The row that the tree tells for a payload, not confirmed; None when it is not a regular file."""
        arrival = self.arrival(path, name)
        if arrival is None:
            return None
        state, note = _STATE_OF[Place(path.partition("/")[0])]
        if state is State.PENDING and arrival.held:
            state = State.HELD
        created = naming.id_time(name.job)
        job = Job(
            id=name.job, queue=name.queue, name=arrival.name, arriver=arriver_of(path), state=state,
            place=_PLACE_OF[state], confirmed=False, priority=arrival.priority,
            attempt=name.attempt if isinstance(name, Claimed) else 0, failures=0, crashes=0, losses=0,
            owner=None, size=arrival.size, created_at=created, ready_at=arrival.ready_at or created,
            updated_at=self._ended_at(path, created), error=note, options=arrival.options,
        )  # fmt: skip
        if state is not State.COMPLETED:
            return job
        guess = naming.output_name(job.updated_at, job.id, job.name)
        return replace(job, output=self._outputs.get(naming.id12(job.id), guess))

    def _ended_at(self, path: str, created: float) -> float:
        """When a job ended: the day of its done/ directory decides where its payload is looked for."""
        ended = parse_day(path.split("/")[1]) if path.startswith("done/") else None
        if ended is not None:
            return ended
        found = self._spool.status(path)
        return found.st_ctime if found else created

    @cached_property
    def _outputs(self) -> dict[str, str]:
        return {number: name for name in self._published() if (number := naming.output_id12(name))}

    def _published(self) -> Iterator[str]:
        for entry in self._spool.entries("outbox"):
            yield entry
            found = self._spool.status(f"outbox/{entry}")
            if found and stat.S_ISDIR(found.st_mode) and naming.output_id12(entry) is None:
                yield from self._spool.entries(f"outbox/{entry}")


def _number(value: object, default: float, low: float, high: float) -> float:
    """A number from a meta file, within its bounds; the default for what is none."""
    if not isinstance(value, int | float) or value != value:
        return default
    return min(max(value, low), high)


def arriver_of(path: str) -> str:
    """Whose directory of ready/ a payload lies in; `rebuilt` for one that lies elsewhere."""
    first, _, rest = path.partition("/")
    return os.path.dirname(rest) if first == "ready" else "rebuilt"
