"""Brings payloads, each unlike any other, in every way in which people bring files; writes down what was brought.

A process of its own (`python -m pqfs.torture.producers ROOT SEED STORM`), with a few threads. It holds back
while many files wait, so that the machine stays usable and the end of the storm comes soon. TERM: finish what is
being brought, then end.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pqfs import kernel
from pqfs.clock import SystemClock
from pqfs.index import Index
from pqfs.model import State
from pqfs.naming import is_job_id
from pqfs.torture import payload
from pqfs.torture.actors import Actor, act_alone
from pqfs.torture.books import Book
from pqfs.torture.ground import Ground
from pqfs.torture.payload import Payload

THREADS = 4
CROWD = 80  # files that wait in the inbox or in ready/: a few seconds of work
_KILLED = 0.25  # of the submits
_HALFWAY = frozenset({"cp", "slow", "mapped"})  # leave half a file where the disk is full: their own doing
_Choice = TypeVar("_Choice")

_PLAIN = ("default", "plain"), ("orders", "plain"), ("tools", "plain")
_BEHAVIOURS: dict[tuple[str, str], int] = {
    **dict.fromkeys(_PLAIN, 10),
    ("default", "slow"): 12,
    ("orders", "parts"): 12,
    ("default", "directory"): 8,
    ("tools", "grandchild"): 20,
    ("default", "chatty"): 2,
    ("default", "fail once"): 5,
    ("tools", "fail once"): 2,
    ("orders", "later once"): 4,
    ("default", "permanent"): 2,
    ("tools", "permanent"): 1,
    ("orders", "crash once"): 4,
    ("hard", "always fail"): 2,
    ("hard", "always crash"): 2,
}
_SIZES = (0, 100, 4_000, 60_000, 1_000_000)
_SIZE_WEIGHTS = (10, 40, 35, 14, 1)
_WAYS = {"cp": 5, "mv": 5, "rename": 40, "slow": 12, "mapped": 8, "again": 10, "sidecar": 12, "empty": 5, "submit": 3}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One payload, the queue that it is for and the name under which it is brought."""

    payload: Payload
    queue: str
    name: str
    way: str


class Crowd:
    """Whether so much waits already that producers should hold back."""

    def __init__(self, ground: Ground, index: Index) -> None:
        self._ground, self._index = ground, index
        self._lock = threading.Lock()
        self._asked_at, self._is_there = 0.0, False

    def is_there(self) -> bool:
        """Ask, ten times a second at most."""
        with self._lock:
            if time.monotonic() - self._asked_at > 0.1:
                self._is_there = self._count() >= CROWD
                self._asked_at = time.monotonic()
            return self._is_there

    def _count(self) -> int:
        waiting = sum(number for _, state, number in self._index.counts() if state is State.PENDING)
        return waiting + sum(len(os.listdir(self._ground.inbox(queue))) for queue in self._ground.outboxes())


class Producer:
    """One thread's work: choose, bring, write down."""

    def __init__(self, ground: Ground, chance: random.Random, first: int, actor: Actor) -> None:
        self._ground, self._chance, self._actor = ground, chance, actor
        self._number = first
        self._weights = {way: weight for way, weight in _WAYS.items() if not (ground.is_small and way in _HALFWAY)}
        self._sent = Book(ground.books / f"sent-{first}.jsonl")
        self._kills = Book(ground.books / f"kills-submit-{first}.jsonl")
        self._ways: dict[str, Callable[[Delivery, Path], str | None]] = {
            "cp": self._by_program, "mv": self._by_program, "rename": self._by_rename, "slow": self._slowly,
            "mapped": self._mapped, "again": self._by_rename, "sidecar": self._with_sidecar,
            "empty": self._empty, "submit": self._submit,
        }  # fmt: skip

    def run(self, crowd: Crowd) -> None:
        """Bring payloads until the actor is asked to end."""
        while not self._actor.is_over:
            if crowd.is_there():
                time.sleep(0.05)
            else:
                self._bring(self._next())

    def _next(self) -> Delivery:
        self._number += THREADS
        (queue, behaviour), way = _one_of(_BEHAVIOURS, self._chance), _one_of(self._weights, self._chance)
        size = self._chance.choices(_SIZES, _SIZE_WEIGHTS)[0]
        made = payload.make(self._number, behaviour, self._chance.randint(size // 2, size), self._chance)
        if way == "empty":
            made, queue = Payload(made.number, "plain", b""), "default"
        elif way == "again":
            return Delivery(made, queue, "status.dat", way)
        elif way == "sidecar" and queue == "tools":  # a command does not see the metadata
            queue, made = "orders", payload.make(made.number, "plain", size, self._chance)
        return Delivery(made, queue, made.name, way)

    def _bring(self, delivery: Delivery) -> None:
        made = delivery.payload
        self._sent.write(
            phase="begin", number=made.number, sha256=made.sha256, size=len(made.data), name=delivery.name,
            queue=delivery.queue, behave=made.behaviour, way=delivery.way,
        )  # fmt: skip
        staged = self._ground.drop / made.name
        try:
            staged.write_bytes(made.data)
            job = self._ways[delivery.way](delivery, staged)
        except OSError:  # the disk is full
            job = "unknown"
        staged.unlink(missing_ok=True)
        self._sent.write(phase="unknown" if job == "unknown" else "end", number=made.number, job=job)

    def _target(self, delivery: Delivery) -> Path:
        return self._ground.inbox(delivery.queue) / delivery.name

    # ---------------------------------------------------------------- the ways

    def _by_program(self, delivery: Delivery, staged: Path) -> None:
        subprocess.run([delivery.way, str(staged), str(self._target(delivery))], check=True)

    def _by_rename(self, delivery: Delivery, staged: Path) -> None:
        """Under its own name, or under one that comes again and again as soon as the last has gone."""
        while True:
            try:
                kernel.rename_noreplace(-1, os.fsencode(staged), -1, os.fsencode(self._target(delivery)))
            except FileExistsError:
                if self._actor.is_over:  # nobody takes it any more
                    raise
                self._actor.rest(0.02)
            else:
                return

    def _slowly(self, delivery: Delivery, staged: Path) -> None:
        data = delivery.payload.data
        step = len(data) // 5 + 1
        with self._target(delivery).open("xb", buffering=0) as file:
            for first in range(0, len(data), step):
                file.write(data[first : first + step])
                time.sleep(self._chance.uniform(0.0, 0.1))

    def _mapped(self, delivery: Delivery, staged: Path) -> None:
        """Written through a map, after the descriptor has been closed."""
        data = delivery.payload.data
        with self._target(delivery).open("x+b", buffering=0) as file:
            file.truncate(len(data))
            mapped = mmap.mmap(file.fileno(), len(data))
        with mapped:
            half = len(data) // 2
            mapped[half:] = data[half:]
            time.sleep(self._chance.uniform(0.0, 0.2))
            mapped[:half] = data[:half]

    def _with_sidecar(self, delivery: Delivery, staged: Path) -> None:
        wished = {
            "metadata": {"number": delivery.payload.number}, "priority": self._chance.randint(-5, 5),
            "delay": f"{self._chance.choice((0, 0, 500, 1500))}ms",
        }  # fmt: skip
        beside = staged.with_name(f"{staged.name}.job.json")
        beside.write_text(json.dumps(wished))
        target = self._target(delivery)
        os.rename(beside, target.with_name(f"{target.name}.job.json"))
        os.rename(staged, target)

    def _empty(self, delivery: Delivery, staged: Path) -> None:
        self._target(delivery).open("xb").close()

    def _submit(self, delivery: Delivery, staged: Path) -> str:
        """By `pqfs submit`; some are killed on the way, and nobody knows what became of those."""
        command = self._ground.speak("submit", "-q", delivery.queue, str(staged))
        if self._chance.random() < _KILLED:
            time.sleep(self._chance.uniform(0.2, 0.6))
            if command.poll() is None:
                command.kill()
                self._kills.write(kind="verb", verb="submit", at=SystemClock().now())
        said = command.communicate()[0].decode().strip()
        return said if command.returncode == 0 and is_job_id(said) else "unknown"


def _one_of(weights: dict[_Choice, int], chance: random.Random) -> _Choice:
    return chance.choices(list(weights), list(weights.values()))[0]


def main() -> None:
    """Bring payloads until TERM."""
    with act_alone() as (ground, seed, actor):
        index = ground.index()
        crowd = Crowd(ground, index)
        producers = [
            Producer(ground, random.Random(f"{seed}/producer/{first}"), first, actor) for first in range(THREADS)
        ]
        threads = [threading.Thread(target=each.run, args=(crowd,)) for each in producers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        index.close()


if __name__ == "__main__":
    main()
