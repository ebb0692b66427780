"""Who acts in a history: each a short life of one process, person or producer, made of real verbs of pqfs.

What may go wrong in a life goes wrong as in the process that it stands for: an error that the process survives
(`Unavailable`, an OSError in a sweep) is survived here, any other ends the life.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from pqfs.errors import PqfsError, Unavailable, VolumeFault
from pqfs.inbox import Inbox
from pqfs.ingester import Ingester
from pqfs.manifest import MANIFEST
from pqfs.model import Arrival, Job, Kind, Outcome, State
from pqfs.naming import JobIds, output_id12
from tests.crash.harness import digest
from tests.simulation.gate import Actor
from tests.simulation.ledger import Ledger
from tests.simulation.universe import Universe, Worker
from tests.world import published

VERBS = ("hold", "release", "cancel", "fail", "redrive", "delete")
REFUSALS = (Kind.FAILED, Kind.PERMANENT, Kind.CRASHED, Kind.RELEASED, Kind.RETRY_LATER, Kind.TIMEOUT)


@dataclass(frozen=True)
class Stage:
    """What every life is given."""

    universe: Universe
    ledger: Ledger


Life = Callable[[Stage, Actor], None]


def producer(stage: Stage, me: Actor) -> None:
    """Drops files: with care (hidden, synced, renamed), or as `cp` does, or with a sidecar."""
    universe = stage.universe
    for _ in range(1 + universe.choose(3)):
        name, data = stage.ledger.new_file()
        me.begin("drop")
        (_drop_plainly, _drop_with_care, _drop_with_sidecar)[universe.choose(3)](universe, name, data)


def _drop_plainly(universe: Universe, name: bytes, data: bytes) -> None:
    """Open, write in two steps, close: whoever judges it in between must find it open."""
    path = f"inbox/{os.fsdecode(name)}"
    universe.spool._files.write(universe.spool._fd, os.fsencode(path), b"", 0o644)
    with open(universe.root / path, "r+b", buffering=0) as file:
        half = data[: len(data) // 2]
        file.write(half)
        universe.files.wrote(file.fileno(), half)
        universe.gate.effect("half of it is written")
        file.write(data[len(half) :])
        universe.files.wrote(file.fileno(), data)
    universe.sent[name] = data


def _drop_with_care(universe: Universe, name: bytes, data: bytes) -> None:
    spool, files = universe.spool, universe.files
    hidden = b"inbox/." + name + b".tmp"
    files.write(spool._fd, hidden, data, 0o644)
    files.fsync(spool._fd, hidden)
    files.rename(spool._fd, hidden, spool._fd, b"inbox/" + name)
    universe.sent[name] = data
    files.fsync(spool._fd, b"inbox")
    universe.synced.add(name)


def _drop_with_sidecar(universe: Universe, name: bytes, data: bytes) -> None:
    sidecar = b'{"priority": %d}' % universe.choose(3)
    universe.files.write(universe.spool._fd, b"inbox/" + name + b".job.json", sidecar, 0o644)
    _drop_with_care(universe, name, data)


def scanner(stage: Stage, me: Actor) -> None:
    """Drops files that belong together, with care, in any order; their manifest tells the SHA-256 of each."""
    universe, spool = stage.universe, stage.universe.spool
    me.begin("drop a set")
    files = dict(stage.ledger.new_file() for _ in range(1 + universe.choose(3)))
    name = next(iter(files))
    members = [{"name": os.fsdecode(each), "sha256": digest(data)} for each, data in files.items()]
    parts = [*files.items(), (name + MANIFEST, json.dumps({"members": members}).encode())]
    while parts:
        part, data = parts.pop(universe.choose(len(parts)))
        hidden = b"inbox/scans/." + part + b".tmp"
        universe.files.write(spool._fd, hidden, data, 0o644)
        universe.files.fsync(spool._fd, hidden)
        universe.files.rename(spool._fd, hidden, spool._fd, b"inbox/scans/" + part)
    universe.files.fsync(spool._fd, b"inbox/scans")
    stage.ledger.scanned[name + b".tar"] = files


def submitter(stage: Stage, me: Actor) -> None:
    """Submits one or two files; what it is told is an acknowledgement."""
    universe, spool = stage.universe, stage.universe.spool
    me.begin("submit")
    owner, ids, now = universe.owner("submit"), JobIds(), universe.clock.now()
    spool.make_directory(f"work/{owner}")
    spool.make_directory(f"ready/{owner}")
    staged, files = [], {}
    for _ in range(1 + universe.choose(3)):
        name, data = stage.ledger.new_file()
        arrival = Arrival(ids.next(now), "default", name, len(data), universe.choose(3))
        path = spool.scratch_path(owner, arrival.id, 1, "part")
        universe.files.write(spool._fd, os.fsencode(path), data)
        staged.append((arrival, path))
        files[name] = data
    universe.jobqueue.submit(owner, staged, now)
    universe.sent.update(files)
    stage.ledger.submitted.update(arrival.id for arrival, _ in staged)
    spool.remove_tree(f"work/{owner}")
    spool.remove_directory(f"ready/{owner}")
    universe.leave(owner)


def ingester(stage: Stage, me: Actor) -> None:
    """Sweeps the inbox a few times, as `Ingester.run` does."""
    universe = stage.universe
    me.begin("ingest")
    owner = universe.owner("ingester")
    mine = Ingester(universe.jobqueue, Inbox(universe.root, universe.settings), owner, universe.clock)
    for _ in range(1 + universe.choose(4)):
        me.begin("ingest")
        try:
            mine.sweep()
        except VolumeFault:
            raise
        except (PqfsError, OSError):
            continue
    universe.leave(owner)


def consumer(stage: Stage, me: Actor) -> None:
    """Claims, runs and finishes a few batches, as consumer and runner do."""
    universe = stage.universe
    me.begin("register")
    worker = Worker(universe)
    for _ in range(1 + universe.choose(3)):
        if not _beat(universe, worker, me):
            return
        me.begin("claim")
        try:
            jobs = worker.claim(1 + universe.choose(3))
        except Unavailable:
            continue
        _work_off(universe, worker, me, jobs)
    me.begin("leave")
    worker.leave()


def _beat(universe: Universe, worker: Worker, me: Actor) -> bool:
    me.begin("beat")
    try:
        with universe.index.transaction():
            return universe.index.beat(worker.owner, universe.clock.now(), universe.clock.boottime(), 0)
    except Unavailable:
        return True


def _work_off(universe: Universe, worker: Worker, me: Actor, jobs: list[Job]) -> None:
    ended: list[tuple[Job, Outcome]] = []
    while jobs:
        if universe.choose(8) == 7:
            me.begin("give back")
            given = universe.jobqueue.give_back(jobs, "it turned out long", universe.clock.now())
            jobs = [job for job in jobs if job.id not in given]
            continue
        me.begin("run")
        job = jobs.pop(0)
        ended.append((job, _attempt(universe, worker, job)))
    _finish(universe, worker, me, ended)


def _attempt(universe: Universe, worker: Worker, job: Job) -> Outcome:
    if not worker.start(job):
        kind = Kind.LOST if universe.spool.find(job.id) else Kind.MISSING
        return Outcome(kind, "its payload is not where it was")
    refusal = universe.choose(12)
    outcome = worker.run(job) if refusal < len(REFUSALS) else worker.refuse(job, REFUSALS[refusal % len(REFUSALS)])
    asked = universe.index.cancels_for(worker.owner)
    return Outcome(Kind.CANCELLED, asked[job.id, job.attempt]) if (job.id, job.attempt) in asked else outcome


def _finish(universe: Universe, worker: Worker, me: Actor, ended: list[tuple[Job, Outcome]]) -> None:
    """As the consumer: an index that can not be had is asked again; outputs whose sync failed are made again."""
    me.begin("finish")
    for _ in range(5):
        try:
            moved = universe.jobqueue.finish(ended, universe.clock.now())
            universe.jobqueue.confirm(moved)
        except VolumeFault as error:
            for job, outcome in ended:
                if outcome.kind is Kind.DONE and not universe.jobqueue.is_committed(job):
                    worker.discard(job)
            again = Outcome(Kind.RELEASED, error.message, delay=1.0)
            ended = [(job, again if outcome.kind is Kind.DONE else outcome) for job, outcome in ended]
        except Unavailable:
            continue
        else:
            return


def janitor(stage: Stage, me: Actor) -> None:
    """Looks after the spool a few times."""
    universe = stage.universe
    mine = universe.janitor()
    for _ in range(1 + universe.choose(3)):
        try:
            me.begin("recover")
            mine.look()
            me.begin("purge")
            mine.purge()
        except (PqfsError, OSError):
            continue
    universe.leave(str(me.owner))


def operator(stage: Stage, me: Actor) -> None:
    """A person steers some jobs; each answer is an acknowledgement."""
    universe = stage.universe
    for _ in range(1 + universe.choose(3)):
        jobs = sorted(universe.jobs().values(), key=lambda job: job.id)
        if not jobs:
            return
        job, verb = jobs[universe.choose(len(jobs))], VERBS[universe.choose(len(VERBS))]
        me.begin(verb)
        turn = stage.ledger.is_about_to(verb, job)
        if verb == "delete" and job.state is State.COMPLETED and job.output and job.confirmed:
            _take(universe, universe.spool.output_path(job.queue, job.output))  # nothing would explain it any more
        try:
            answer = getattr(universe.jobqueue, verb)(job, "ann", "because", universe.clock.now())
        except PqfsError:
            continue
        stage.ledger.acknowledged(verb, job, answer, turn)


def reader(stage: Stage, me: Actor) -> None:
    """Takes outputs away."""
    universe = stage.universe
    for _ in range(1 + universe.choose(2)):
        outputs = [path for _, name, path in published(universe.spool) if output_id12(name)]
        if not outputs:
            return
        me.begin("take")
        _take(universe, outputs[universe.choose(len(outputs))])


def _take(universe: Universe, path: str) -> None:
    if not universe.spool.exists(path):
        return
    universe.spool.remove(path)
    if not universe.spool.exists(path):
        universe.taken.add(path.rpartition("/")[2])


LIVES: tuple[Life, ...] = (
    producer, ingester, consumer, consumer, janitor, submitter, operator, reader, producer, ingester, consumer,
    scanner,
)  # fmt: skip
