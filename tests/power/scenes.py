"""The verbs that run while the disk fails, and what is prepared for each before it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.harness import StandIn
from tests.power.world import DiskWorld
from tests.world import submitted

MANY = 5
ANN = "ann"  # who steers


@dataclass(slots=True)
class Deed:
    """What was there before the disk failed, what the verb was about, and how it ended."""

    promised: dict[bytes, bytes] = field(default_factory=dict)
    new: dict[bytes, bytes] = field(default_factory=dict)
    error: str | None = None
    failed: int = 0  # writes and flushes
    alarmed: bool = False

    @property
    def ending(self) -> str:
        """In a word: the kind of error, or that it returned."""
        return (self.error or "returned").partition(":")[0]


Act = Callable[[], object]
Scene = Callable[[DiskWorld, Deed], Act]


def _dropped(world: DiskWorld, deed: Deed, count: int) -> None:
    for number in range(count):
        name = f"new{number}.txt".encode()
        deed.new[name] = b"new %d\n" % number * 900
        world.drop(name, deed.new[name])


def ingest(count: int) -> Scene:
    """Files that nobody has synced are taken."""

    def scene(world: DiskWorld, deed: Deed) -> Act:
        ingester = world.ingester()
        _dropped(world, deed, count)
        return ingester.sweep

    return scene


def submit(world: DiskWorld, deed: Deed) -> Act:
    """A copy is submitted, with a priority of its own."""
    deed.new[b"submitted.txt"] = b"submitted\n" * 900
    owner = world.owner("submit")
    data = deed.new[b"submitted.txt"]
    return lambda: submitted(world.jobqueue, world.clock.now(), b"submitted.txt", data, owner, priority=5)


def finish(count: int) -> Scene:
    """Attempts that have ended are finished."""

    def scene(world: DiskWorld, deed: Deed) -> Act:
        consumer = StandIn(world)
        ended = []
        for job in consumer.claim(count):
            assert consumer.start(job)
            ended.append((job, consumer.run(job)))
        return lambda: consumer.finish(ended)

    return scene


def claim(world: DiskWorld, deed: Deed) -> Act:
    """A consumer leases jobs: one commit."""
    consumer = StandIn(world)
    return lambda: consumer.claim(3)


def hold(world: DiskWorld, deed: Deed) -> Act:
    """A person puts a job aside: a meta file, then a commit."""
    job = world.job(b"old1.txt")
    return lambda: world.jobqueue.hold(job, ANN, None, world.clock.now())


def redrive(world: DiskWorld, deed: Deed) -> Act:
    """A dead letter is made to wait again."""
    job = world.jobqueue.fail(world.job(b"old1.txt"), ANN, None, world.clock.now())
    return lambda: world.jobqueue.redrive(job, ANN, None, world.clock.now())


SCENES: dict[str, Scene] = {
    "ingest-one": ingest(1), "ingest-many": ingest(MANY), "submit": submit, "finish-one": finish(1),
    "finish-many": finish(MANY), "claim": claim, "hold": hold, "redrive": redrive,
}  # fmt: skip
