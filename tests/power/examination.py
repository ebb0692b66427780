"""What must hold in a state that a loss of power left: the questions asked after its reboot.

Recovery runs, and then again and finds nothing to do; what was promised before the cut is true; then everything
goes on to its end, and the world is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from pqfs.index import walk
from pqfs.model import State
from tests.power.ledger import Ledger, facts_of
from tests.power.world import DiskWorld
from tests.world import violations


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong, in a word and in a sentence."""

    kind: str
    text: str


def examine(world: DiskWorld, ledger: Ledger, cut: int) -> Iterator[Violation]:
    """Recover, compare with what was promised, drain, and check the world; it is changed by that."""
    world.recover()
    again = world.recover()
    if not again.is_empty:
        yield Violation("stuck", f"a second recovery found something to do: {again}")
    yield from _promises(world, ledger, cut)
    world.janitor().purge()  # as at its start: what was let go may be back
    yield from _whole(world, at_rest=False)
    world.drain()
    yield from (Violation("stuck", f"nobody ends {job}") for job in world.waiting())
    yield from _conserved(world, ledger, cut)
    yield from _outputs(world, ledger, cut)
    yield from _whole(world, at_rest=True, taken=_taken(world, ledger, cut))


def _whole(world: DiskWorld, at_rest: bool, taken: frozenset[str] = frozenset()) -> Iterator[Violation]:
    wrong = violations(world.spool, world.index, taken=taken, at_rest=at_rest)
    yield from (Violation("broken", text) for text in wrong)


def _taken(world: DiskWorld, ledger: Ledger, cut: int) -> frozenset[str]:
    """A reader's unlink lasts or does not: what it took is there or not."""
    return frozenset(name for name in ledger.maybe_taken(cut) if not world.spool.exists(f"outbox/{name}"))


def _promises(world: DiskWorld, ledger: Ledger, cut: int) -> Iterator[Violation]:
    """Each row says what the last verb that returned has made of it."""
    rows = facts_of(world.index)
    for name, answers in ledger.answers(cut).items():
        found = rows.get(name)
        if found not in answers:
            kind = "lost" if found is None else "undone"
            yield Violation(kind, f"{name!r} is {found}, not one of {sorted(map(str, answers))}")


def _places(world: DiskWorld) -> dict[bytes, list[bytes | None]]:
    """The bytes of each payload wherever it is; None where a completed job's is not kept any more."""
    found: dict[bytes, list[bytes | None]] = {}
    for job in walk(world.index):
        paths = world.spool.find(job.id)
        found.setdefault(job.name, []).extend(world.spool.path(path).read_bytes() for path in paths)
        if not paths:
            found[job.name].append(None)
    for name in os.listdir(os.fsencode(world.root / "inbox")):
        found.setdefault(name, []).append(None)
    for path in (world.root / "rejected").glob("*.txt"):
        found.setdefault(os.fsencode(path.name.partition(".")[2]), []).append(path.read_bytes())
    return found


def _conserved(world: DiskWorld, ledger: Ledger, cut: int) -> Iterator[Violation]:
    """What was delivered durably, or was a job, is in one place, unchanged; nothing at all is in two."""
    places, kept = _places(world), ledger.kept(cut)
    for name in ledger.sent:
        there = places.get(name, [])
        if len(there) > 1:
            yield Violation("doubled", f"{name!r} was delivered once and is in {len(there)} places")
        elif name in kept and not there:
            yield Violation("lost", f"{name!r} is nowhere")
        elif name in kept and there[0] not in (None, kept[name]):
            yield Violation("torn", f"{name!r} has changed on its way")


def _outputs(world: DiskWorld, ledger: Ledger, cut: int) -> Iterator[Violation]:
    """An output that a reader may have seen is its job's only one, for ever."""
    completed = {job.output for job in walk(world.index) if job.state is State.COMPLETED}
    yield from (
        Violation("doubled", f"output {name} has been seen, and its job was completed into another")
        for name in sorted(ledger.seen(cut) - completed)
    )
