"""What was promised to whom, and since when: the oracle of the power-loss states.

A position is the length of the disks' log: a point in time that the disks know, too. Each verb that returned is a
promise from then on; between its begin and its return both answers are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pqfs.index import Index, walk
from pqfs.model import Job, State
from tests.world import EPOCH


@dataclass(frozen=True, slots=True)
class Fact:
    """What a row must say of a job after recovery. A job that was running waits again, and is charged nothing."""

    state: State
    output: str | None
    failures: int
    crashes: int
    priority: int

    @classmethod
    def of(cls, job: Job) -> Fact:
        """What recovery after a loss of power makes of this row."""
        state = job.state
        if state is State.PROCESSING:
            state = State.CANCELLED if job.cancel_by else State.PENDING
        return cls(state, job.output, job.failures, job.crashes, job.priority)


Answers = frozenset[Fact | None]  # None: there is no such job


@dataclass(slots=True)
class Ledger:
    """Filled while a workload runs; asked for each state."""

    sent: dict[bytes, bytes] = field(default_factory=dict)
    delivered: dict[bytes, int] = field(default_factory=dict)  # by producers who synced
    facts: list[tuple[int, bytes, Answers]] = field(default_factory=list)
    deleted: dict[bytes, int] = field(default_factory=dict)
    visible: list[tuple[int, str]] = field(default_factory=list)  # outputs, when a reader can see them
    taken: list[tuple[int, str]] = field(default_factory=list)
    moments: list[tuple[int, float]] = field(default_factory=list)  # what the clock said

    @contextmanager
    def act(self, index: Index, position: Callable[[], int]) -> Iterator[None]:
        """A verb: whatever rows it changes, both answers are right until it returns, and the new one afterwards."""
        begun, before = position(), facts_of(index)
        yield
        ended, after = position(), facts_of(index)
        for name in sorted(before.keys() | after.keys()):
            old, new = before.get(name), after.get(name)
            if old != new:
                self.facts.append((begun + 1, name, frozenset({old, new})))  # nothing can be on disk at `begun`
                self.facts.append((ended, name, frozenset({new})))
            if new is None:
                self.deleted.setdefault(name, begun)

    def answers(self, cut: int) -> dict[bytes, Answers]:
        """What each job's row may say if power was lost at this position, just before the next write."""
        return {name: answers for position, name, answers in sorted(self.facts, key=_position) if position <= cut}

    def promised(self, cut: int) -> int:
        """How much was promised by a position: grows with every promise."""
        positions = [*self.delivered.values(), *(position for position, _, _ in self.facts)]
        positions += [position for position, _ in (*self.visible, *self.taken)]
        return sum(position <= cut for position in positions)

    def kept(self, cut: int) -> dict[bytes, bytes]:
        """The files that must be in exactly one place, with their bytes: delivered durably, or jobs."""
        safe = {name for name, position in self.delivered.items() if position <= cut}
        safe |= {name for name, answers in self.answers(cut).items() if None not in answers}
        return {name: data for name, data in self.sent.items() if name in safe and not self.is_deleted(name, cut)}

    def is_deleted(self, name: bytes, cut: int) -> bool:
        """Whether somebody had begun to delete a job."""
        return self.deleted.get(name, cut + 1) <= cut

    def seen(self, cut: int) -> set[str]:
        """The outputs that a reader may have seen."""
        return {output for position, output in self.visible if position <= cut}

    def moment(self, cut: int) -> float:
        """What the clock said."""
        return max((now for position, now in self.moments if position <= cut), default=EPOCH)

    def maybe_taken(self, cut: int) -> set[str]:
        """The outputs that a reader had taken, or was about to."""
        return {output for position, output in self.taken if position <= cut}


def _position(note: tuple[int, bytes, Answers]) -> int:
    return note[0]


def facts_of(index: Index) -> dict[bytes, Fact]:
    return {job.name: Fact.of(job) for job in walk(index)}
