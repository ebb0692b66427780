"""Takes outputs away as readers do, and watches: what appears in the outbox must be committed and whole by then.

A process of its own (`python -m pqfs.torture.readers ROOT SEED STORM`). At the first sight of an output its row is
asked for, and its bytes are read; most are then renamed out of the outbox, a few stay until all is over.
"""

from __future__ import annotations

import os
import random
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pqfs.clock import SystemClock
from pqfs.index import Index
from pqfs.model import State
from pqfs.naming import output_id12
from pqfs.outputs import measure
from pqfs.torture import payload
from pqfs.torture.actors import Actor, act_alone
from pqfs.torture.books import Book
from pqfs.torture.ground import Ground
from pqfs.torture.targets import sweep_away

_EVERY = 0.02
_STAYS = 16  # one in so many


@dataclass(frozen=True, slots=True)
class Sight:
    """What an output was when it was first seen: its hash, whose it says it is, and all that is wrong with it."""

    sha256: str
    number: int | None
    job: str | None
    wrong: tuple[str, ...]


class Reader:
    """Looks, judges, takes away."""

    def __init__(self, ground: Ground, index: Index, chance: random.Random) -> None:
        self._ground, self._index, self._chance = ground, index, chance
        self._clock = SystemClock()
        self._seen: set[str] = set()
        self._book = Book(ground.books / "seen.jsonl")

    def run(self, actor: Actor) -> None:
        """Look until the actor is asked to end."""
        while not actor.is_over:
            for queue, outbox in self._ground.outboxes().items():
                for name in self._entries(outbox):
                    self._meet(queue, outbox, name)
            actor.rest(_EVERY)

    def _entries(self, outbox: Path) -> Iterator[str]:
        try:
            yield from sorted(name for name in os.listdir(outbox) if output_id12(name))
        except FileNotFoundError:
            return  # a queue's outbox is made with its first output

    def _meet(self, queue: str, outbox: Path, name: str) -> None:
        if name not in self._seen:
            self._seen.add(name)
            sight = look(self._index, outbox / name)
            self._book.write(
                what="seen", at=self._clock.now(), output=name, queue=queue, sha256=sight.sha256,
                number=sight.number, job=sight.job, wrong=sight.wrong,
            )  # fmt: skip
        elif zlib.crc32(name.encode()) % _STAYS and self._chance.random() < 0.3:
            shutil.move(outbox / name, self._ground.taken / name)  # by rename, where it is one disk
            self._book.write(what="taken", at=self._clock.now(), output=name)


def look(index: Index, path: Path) -> Sight:
    """Read an output and hold it against its row, which must have been committed before it could be seen."""
    row = index.job_by_output(path.name)
    _, digest = measure(path)
    found = payload.open_output(path)
    wrong = [found.flaw] if found.flaw else []
    if row is None:
        wrong.append("no row")  # unless an operator has deleted its job: the verdict knows
    elif row.state is not State.COMPLETED:
        wrong.append(f"its job is {row.state}")
    elif row.output_sha256 != digest:
        wrong.append("it is not what its row's hash says")
    if row and (found.job, found.attempt) != (row.id, row.attempt):
        wrong.append(f"it was made by attempt {found.attempt} of {found.job}, its row names attempt {row.attempt}")
    return Sight(digest, found.number, row.id if row else found.job, tuple(wrong))


def main() -> None:
    """Read until TERM."""
    with act_alone() as (ground, seed, actor):
        index = ground.index()
        Reader(ground, index, random.Random(f"{seed}/reader")).run(actor)
        index.close()
        if actor.is_orphan:
            sweep_away(ground)  # the storm was killed: its stack must not go on for ever


if __name__ == "__main__":
    main()
