"""What each process is given to do: a spool prepared by the real code, and the commands that it is to run.

A scenario is built once, then copied for each point. `Script` is what the victim runs and what it promised when a
command came back with 0; it lies beside the spool as JSON, because a copy must know it too.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pqfs.clock import SystemClock, boot_id
from pqfs.model import Job, Kind, State
from pqfs.naming import Parked
from pqfs.settings import load
from pqfs.spool import Spool
from pqfs.submission import Submitter, Wish
from pqfs.wiring import open_app
from tests.crash.harness import Crash, World
from tests.world import SettableClock, new_id

CONFIG = """\
spool = "spool"
logs = "logs"
low_water = 0
[queues.mail]
[queues.sent]
sidecar_queue = true
[queues.own]
handler = { python = "own_handlers:handle" }
max_failures = 2
max_crashes = 1
backoff = "900d"
backoff_cap = "900d"
[queues.program]
handler = { command = ["cp", "{input}", "{output}"] }
"""
HANDLERS = """\
import os, signal
from pqfs import Permanent, RetryLater

def handle(context):
    match context.name:
        case "permanent":
            raise Permanent("this input is broken")
        case "later":
            raise RetryLater("not now", delay=60)
        case "fails":
            raise ValueError("the handler says no")
        case "crashes":
            os.kill(os.getpid(), signal.SIGKILL)
        case "folder":
            for name in ("one", "two"):
                (context.output_dir / name).write_text(name)
        case _:
            return context.input.read_bytes()[::-1]
"""
_MONTH = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Promise:
    """What a command that came back with 0 has said of a job: by its name, the state that it must have."""

    command: int
    name: str
    state: str | None  # None: it is gone; "any": it is there


@dataclass(slots=True)
class Script:
    """The commands of one victim, how many sleeps end a loop, what was delivered, what would be promised."""

    commands: list[list[str]]
    rounds: int = 0
    sent: dict[str, str] = field(default_factory=dict)
    promises: list[Promise] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def write(self, root: Path) -> None:
        (root / "script.json").write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, root: Path) -> Script:
        found = json.loads((root / "script.json").read_text())
        found["promises"] = [Promise(**each) for each in found["promises"]]
        return cls(**found)


Build = Callable[[Path], Script]


def _make(root: Path) -> None:
    """An empty spool with its settings, handlers and index."""
    (root / "pqfs.toml").write_text(CONFIG)
    (root / "own_handlers.py").write_text(HANDLERS)
    for name in ("logs", "alarms", "files"):
        (root / name).mkdir()
    Spool.create(root / "spool")
    open_app(load({"config": str(root / "pqfs.toml")}, {})).close()


@contextmanager
def _world(root: Path, ago: float = 0.0) -> Iterator[World]:
    """The spool with owners of this very boot, in a world whose clock began `ago` seconds before now."""
    clock = SettableClock(time.time() - ago, SystemClock().boottime())
    world = World(root / "spool", load({"config": str(root / "pqfs.toml")}, {}).settings, clock, boot_id())
    yield world
    world.close()


def _sent(world: World) -> dict[str, str]:
    return {name.decode(): data.decode() for name, data in world.sent.items()}


def _submit(root: Path, queue: str, names: Sequence[str]) -> dict[str, str]:
    app = open_app(load({"config": str(root / "pqfs.toml")}, {}))
    with Submitter(app.jobqueue, "submit", app.clock) as me:
        for name in names:
            me.stage(io.BytesIO(f"payload of {name}".encode()), name.encode(), Wish(queue))
        me.commit()
    app.close()
    return {name: f"payload of {name}" for name in names}


# -------------------------------------------------------------------- ingester


def ingest(root: Path) -> Script:
    """Three files of two queues, one with a sidecar; one sidecar that is wrong, one thing that is no file."""
    _make(root)
    with _world(root) as world:
        world.drop(b"with-sidecar.job.json", b'{"priority": 7, "metadata": {"from": "lab"}}')
        world.drop(b"with-sidecar")
        world.drop(b"plain")
        world.drop(b"in-a-queue", queue="mail")
        world.drop(b"wrong.job.json", b'{"priority": "high"}')
        world.drop(b"wrong")
        os.symlink("nowhere", world.root / "inbox" / "link")
        return Script([["ingest"]], rounds=3, sent=_sent(world))


def ingest_one(root: Path) -> Script:
    """One file: its barrier is an fsync each, not a syncfs."""
    _make(root)
    with _world(root) as world:
        world.drop(b"alone")
        return Script([["ingest"]], rounds=3, sent=_sent(world))


# -------------------------------------------------------------------- consumer


def consume(root: Path) -> Script:
    """Jobs that complete, in one batch: files, a folder, and the output of a program."""
    _make(root)
    sent = _submit(root, "default", ["first", "second"]) | _submit(root, "own", ["folder"])
    return Script([["consume", "--drain"]], sent=sent | _submit(root, "program", ["copied"]))


def consume_badly(root: Path) -> Script:
    """Jobs that end in every other way: failed and tried again, permanently failed, later, its runner taken down."""
    _make(root)
    sent = _submit(root, "own", ["permanent", "later", "fails", "crashes", "good"])
    return Script([["consume", "--drain"]], sent=sent)


# -------------------------------------------------------------------- janitor


def reap(root: Path) -> Script:
    """A dead consumer with one job of each kind, a dead ingester with an arrival, and retention that is due."""
    _make(root)
    with _world(root, ago=_MONTH) as world:
        world.drop(b"kept-long-enough")
        world.drain()
        world.clock.pass_by(_MONTH)
        names = [b"ran", b"staged", b"leased", b"published-not", b"put-away-not"]
        for name in names:
            world.drop(name)
        ingester = world.ingester()
        ingester.sweep()
        _die_as_a_consumer(world, {world.job(name).name: world.job(name).id for name in names})
        _die_as_an_arriver(world, b"arrived")
        (world.root / "meta" / f"{new_id()}.json").write_text("{}")
        os.utime(next((world.root / "meta").iterdir()), (0, 0))
        return Script([["janitor"]], rounds=3, sent=_sent(world))


def _die_as_a_consumer(world: World, ids: dict[bytes, str]) -> None:
    consumer = world.consumer()
    jobs = {job.name: job for job in consumer.claim()}
    assert set(jobs) == set(ids)
    for name, before in ((b"published-not", "R work outbox"), (b"put-away-not", "R claimed done")):
        consumer.start(jobs[name])
        ended = [(jobs[name], consumer.run(jobs[name]))]
        world.fuse.before = _stop_before(before)
        try:
            world.jobqueue.finish(ended, world.clock.now())
        except Crash:
            world.fuse.before = None
    consumer.start(jobs[b"staged"])
    consumer.run(jobs[b"staged"])
    consumer.start(jobs[b"ran"])
    world.kill(consumer.owner)


def _stop_before(effect: str) -> Callable[[str], None]:
    def stop(name: str) -> None:
        if name == effect:
            raise Crash(name)

    return stop


def _die_as_an_arriver(world: World, name: bytes) -> None:
    world.drop(name)
    owner = world.owner("ingester")
    world.spool.make_directory(f"ready/{owner}")
    parked = Parked(new_id(world.clock.now()), "default", name.decode())
    (world.root / "inbox" / name.decode()).rename(world.root / "ready" / owner / str(parked))
    world.kill(owner)


# -------------------------------------------------------------------- people


def _refuse(world: World, job: Job, kind: Kind) -> None:
    """One job's attempt, ended so."""
    consumer = world.consumer()
    for each in consumer.claim():
        assert each.id == job.id and consumer.start(each)
        consumer.finish([(each, consumer.refuse(each, kind))])
    consumer.leave()


def steer(root: Path) -> Script:
    """Every verb of a person on a job of its own."""
    _make(root)
    with _world(root) as world:
        for name, kind in ((b"dead", Kind.PERMANENT), (b"doomed", Kind.PERMANENT)):
            world.drop(name)
            world.ingester().sweep()
            _refuse(world, world.job(name), kind)
        for name in (b"waiting", b"held", b"unwanted", b"hopeless"):
            world.drop(name)
        world.ingester().sweep()
        now = world.clock.now()
        world.jobqueue.hold(world.job(b"held"), "me", None, now)
        verbs = [
            ("hold", "waiting", State.HELD), ("release", "held", State.PENDING),
            ("cancel", "unwanted", State.CANCELLED), ("fail", "hopeless", State.FAILED),
            ("retry", "dead", State.PENDING), ("delete", "doomed", None),
        ]  # fmt: skip
        return Script(
            [["jobs", verb, world.job(name.encode()).id, "-y", "--reason", "why not"] for verb, name, _ in verbs],
            sent=_sent(world),
            promises=[Promise(n, name, state) for n, (_, name, state) in enumerate(verbs)],
            deleted=["doomed"],
        )


def bring(root: Path) -> Script:
    """Submit, and put back what was refused."""
    _make(root)
    with _world(root) as world:
        for name in ("one", "two", "three"):
            (root / "files" / name).write_text(f"payload of {name}")
        os.symlink("nowhere", world.root / "inbox" / "link")
        world.drop(b"wrong.job.json", b'{"priority": "high"}')
        world.drop(b"wrong")
        world.ingester().sweep()
        sent = _sent(world) | {name: f"payload of {name}" for name in ("one", "two", "three")}
        return Script(
            [
                ["submit", "files/one", "files/two", "files/three", "--priority", "3"],
                ["rejected", "retry", "--all", "-y"],
            ],
            sent=sent,
            promises=[Promise(0, name, "any") for name in ("one", "two", "three")],
        )


def keep(root: Path) -> Script:
    """Clean up, copy the index, look at it all."""
    _make(root)
    with _world(root, ago=_MONTH) as world:
        world.drop(b"old")
        world.drain()
        world.clock.pass_by(_MONTH)
        world.drop(b"new")
        world.drain()
        return Script([["cleanup", "-y"], ["index", "backup", "backup.db"], ["status"]], sent=_sent(world))


SCENARIOS: dict[str, Build] = {
    "ingest": ingest,
    "ingest-one": ingest_one,
    "consume": consume,
    "consume-badly": consume_badly,
    "reap": reap,
    "steer": steer,
    "bring": bring,
    "keep": keep,
}
