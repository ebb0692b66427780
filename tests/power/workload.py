"""What runs while the disks remember: producers, an ingester, consumers, people and a janitor, in random order.

All verbs are those of pqfs. Some producers sync what they deliver, most do not; what the second kind loses before
it is a job is theirs to lose.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from pqfs import kernel
from pqfs.errors import PqfsError
from pqfs.files import Files
from pqfs.model import DEAD, Job, Kind, Outcome, State
from tests.crash.harness import StandIn
from tests.power.ledger import Ledger
from tests.power.world import DiskWorld
from tests.world import submitted

_SIZES = (0, 1, 100, 3000, 4096, 5000, 20_000, 70_000)
_KINDS = (Kind.FAILED, Kind.PERMANENT, Kind.RETRY_LATER, Kind.RELEASED)
_DAY = 86_400.0


class NotingFiles(Files):
    """Real file operations; notes when an output becomes visible."""

    def __init__(self, ledger: Ledger, position: Callable[[], int]) -> None:
        self._ledger, self.position = ledger, position

    def rename(self, source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        if target.startswith(b"outbox/"):
            self._ledger.visible.append((self.position(), os.fsdecode(os.path.basename(target))))
        super().rename(source_dir, source, target_dir, target)


class Workload:
    """One run of so many random acts on one world; the ledger learns what was promised."""

    def __init__(self, world: DiskWorld, ledger: Ledger, position: Callable[[], int], seed: int) -> None:
        self._world, self._ledger, self._position = world, ledger, position
        self._random = random.Random(seed)
        self._ingester = world.ingester()
        self._consumers = [StandIn(world), StandIn(world)]
        self._in_hand: list[tuple[StandIn, list[tuple[Job, Outcome]]]] = []
        self._names = 0
        self._acts: tuple[tuple[int, Callable[[], None]], ...] = (
            (6, self._drop), (6, self._ingest), (2, self._submit), (5, self._work), (2, self._begin), (3, self._end),
            (4, self._steer), (1, self._delete), (2, self._read), (1, self._look), (1, self._purge),
            (1, self._checkpoint), (2, self._write_back),
        )  # fmt: skip

    def run(self, acts: int) -> None:
        """So many acts, one after the other."""
        self._act(self._drop)
        self._act(self._ingest)
        weights = [weight for weight, _ in self._acts]
        for _, act in self._random.choices(self._acts, weights, k=acts):
            self._world.clock.pass_by(self._random.choice((0.01, 0.5, 3.0)))
            self._act(act)

    def _act(self, act: Callable[[], None]) -> None:
        self._note_moment(self._position())
        with self._ledger.act(self._world.index, self._position):
            act()

    def _note_moment(self, position: int) -> None:
        self._ledger.moments.append((position, self._world.clock.now()))

    # ---------------------------------------------------------------- arrival

    def _new(self) -> tuple[bytes, bytes]:
        self._names += 1
        name = f"{self._names}.txt".encode()
        size = self._random.choice(_SIZES)
        data = (b"%d " % self._names * size)[:size]
        self._ledger.sent[name] = data
        return name, data

    def _drop(self) -> None:
        """A producer or two: with a sidecar or without, synced or not."""
        inbox = self._world.root / "inbox"
        for _ in range(self._random.choice((1, 1, 2, 5))):
            name, data = self._new()
            target = inbox / os.fsdecode(name)
            if self._random.random() < 0.25:
                target.with_name(f"{target.name}.job.json").write_text(json.dumps({"priority": 3}))
            target.write_bytes(data)
            if self._random.random() < 0.4:
                _sync(target)
                _sync(inbox)
                self._ledger.delivered[name] = self._position()

    def _ingest(self) -> None:
        self._ingester.sweep()

    def _submit(self) -> None:
        name, data = self._new()
        submitter = self._world.owner("submit")
        priority = self._random.choice((0, 0, 5))
        submitted(self._world.jobqueue, self._world.clock.now(), name, data, submitter, priority=priority)

    # ---------------------------------------------------------------- attempts

    def _work(self) -> None:
        """A consumer's whole batch; now and then a handler says no."""
        consumer = self._random.choice(self._consumers)
        consumer.finish(self._ran(consumer))

    def _begin(self) -> None:
        """A consumer takes jobs, runs some of them, and is not done yet."""
        consumer = self._random.choice(self._consumers)
        self._in_hand.append((consumer, self._ran(consumer)))

    def _end(self) -> None:
        if self._in_hand:
            consumer, ended = self._in_hand.pop(0)
            consumer.finish(ended)

    def _ran(self, consumer: StandIn) -> list[tuple[Job, Outcome]]:
        ended = []
        for job in consumer.claim(self._random.choice((1, 2, 8))):
            if not consumer.start(job):
                ended.append((job, Outcome(Kind.LOST, "its payload is not where it was")))
            elif self._random.random() < 0.3:
                ended.append((job, consumer.refuse(job, self._random.choice(_KINDS))))
            else:
                ended.append((job, consumer.run(job)))
        return ended

    # ---------------------------------------------------------------- people

    def _jobs(self, *states: State) -> list[Job]:
        return sorted((job for job in self._world.jobs().values() if job.state in states), key=lambda job: job.id)

    def _steer(self) -> None:
        """A person's verb that the state of some job allows; what it does not allow is refused."""
        jobs = self._jobs(*State)
        if not jobs:
            return
        verb = self._random.choice(("hold", "release", "cancel", "fail", "redrive"))
        act = getattr(self._world.jobqueue, verb)
        for job in self._random.sample(jobs, len(jobs)):
            try:
                act(job, "ann", "because", self._world.clock.now())
            except PqfsError:
                continue
            return

    def _delete(self) -> None:
        if jobs := [job for job in self._jobs(*DEAD, State.CANCELLED) if job.confirmed]:
            self._world.jobqueue.delete(self._random.choice(jobs), "ann", None, self._world.clock.now())

    def _read(self) -> None:
        """A reader takes an output away."""
        if outputs := self._world.spool.entries("outbox"):
            output = self._random.choice(outputs)
            self._ledger.taken.append((self._position(), output))
            self._world.spool.path(f"outbox/{output}").unlink()

    # ---------------------------------------------------------------- upkeep

    def _look(self) -> None:
        self._world.recovery().reconcile()

    def _purge(self) -> None:
        """Nine days later what was kept for seven goes."""
        self._world.clock.pass_by(9 * _DAY)
        self._note_moment(self._position() + 1)  # with the first effect of it
        self._world.janitor().purge()

    def _checkpoint(self) -> None:
        self._world.index.engine.checkpoint()

    def _write_back(self) -> None:
        """What the kernel does by itself every few seconds; each file system in its own time."""
        descriptor = os.open(self._random.choice((self._world.root, self._world.index_path.parent)), os.O_RDONLY)
        kernel.syncfs(descriptor)
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
