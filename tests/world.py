"""What tests share: a clock that they set, a way to make jobs, and the one function that says what must hold.

`invariants(spool, index)` is DESIGN section 7 as far as tree and index alone can tell it. Every crash, race,
fault and random-walk test ends with it. It changes nothing and reports everything that is wrong at once.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pqfs import naming
from pqfs.index import Index, walk
from pqfs.jobqueue import JobQueue
from pqfs.model import DEFAULT_QUEUE, Arrival, Job, Place, State
from pqfs.naming import JobIds
from pqfs.places import DIRECTORIES
from pqfs.spool import Spool

EPOCH = 1_800_000_000.0  # where the settable clock starts: 2027-01-15T08:00:00Z
_TOP = {
    *DIRECTORIES,
    "README.md",
    ".gitignore",
    "index.db",
    "index.db-wal",
    "index.db-shm",
    "keys.json",
    "users.json",
    "secrets.toml",
}
_IDS: dict[int, JobIds] = {}  # a second each: one test's leap into the future is not another's
_Answer = TypeVar("_Answer")
PATIENCE = 20.0  # seconds: a deadline for what takes milliseconds, so that a slow machine fails no test


class SettableClock:
    """A clock that stands still until a test moves it. `pass_by` moves both, `step` only the wall clock."""

    def __init__(self, wall: float = EPOCH, boot: float = 1000.0) -> None:
        self.wall, self.boot = wall, boot
        self.latest = wall  # what it showed at most when it was last set

    def now(self) -> float:
        """Wall-clock time in Unix seconds."""
        return self.wall

    def boottime(self) -> float:
        """Seconds since boot."""
        return self.boot

    def pass_by(self, seconds: float) -> None:
        """Let time pass, as it does."""
        self.wall += seconds
        self.boot += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock, as an operator or NTP does."""
        self.latest = max(self.latest, self.wall)
        self.wall += seconds


def new_id(now: float = EPOCH) -> str:
    """A job id never used before in this test run, later than those asked for before in the same second."""
    return _IDS.setdefault(int(now), JobIds()).next(now)


def submitted(
    jobqueue: JobQueue, now: float, name: bytes = b"a.txt", data: bytes = b"payload", arriver: str = "arriver",
    queue: str = DEFAULT_QUEUE, **more: Any,
) -> Job:  # fmt: skip
    """Make a job through the real submit verb. `more` are fields of Arrival (priority, ready_at, held, options)."""
    spool = jobqueue.spool
    spool.make_directory(f"ready/{arriver}")
    spool.make_directory(f"work/{arriver}")
    job = new_id(now)
    staged = f"work/{arriver}/{job}.staged"
    spool.path(staged).write_bytes(data)
    jobqueue.submit(arriver, [(Arrival(job, queue, name, len(data), **more), staged)], now)
    found = jobqueue.index.job(job)
    assert found is not None
    return found


def write_output(spool: Spool, job: Job, data: bytes = b"output") -> tuple[int, str]:
    """Leave a complete `.out` of a claimed job where its runner would; its size and SHA-256."""
    spool.make_directory(f"work/{job.owner}")
    spool.path(spool.scratch_path(str(job.owner), job.id, job.attempt, "out")).write_bytes(data)
    return len(data), hashlib.sha256(data).hexdigest()


def eventually(question: Callable[[], _Answer], what: str, within: float = PATIENCE) -> _Answer:
    """Ask until the answer is true and return it; fail when patience is over."""
    deadline = time.monotonic() + within
    while not (answer := question()):
        assert time.monotonic() < deadline, f"waited {within:g} seconds in vain: {what}"
        time.sleep(0.002)
    return answer


# -------------------------------------------------------------------- what must hold


def invariants(
    spool: Spool, index: Index, *, sent: Mapping[bytes, bytes] | None = None, taken: Collection[str] = (),
    lost: Collection[str] = (), at_rest: bool = True,
) -> None:  # fmt: skip
    """Fail, naming every violation, unless tree and index tell one and the same story.

    Args:
        spool, index: what is checked; nothing is changed.
        sent: original name -> bytes of everything that producers delivered under names of their own: each is in
            exactly one place (inbox, rejected, or as one job), its bytes unchanged.
        taken: names of outputs that a reader has removed from the outbox.
        lost: ids of jobs whose payload the test itself destroyed.
        at_rest: nobody is working and recovery has run: no scratch is left, all rows but processing ones are
            confirmed. With False only what holds at *any* instant is checked.
    """
    wrong = list(violations(spool, index, sent=sent, taken=taken, lost=lost, at_rest=at_rest))
    assert not wrong, "the world is broken:\n  " + "\n  ".join(wrong)


def violations(
    spool: Spool, index: Index, *, sent: Mapping[bytes, bytes] | None = None, taken: Collection[str] = (),
    lost: Collection[str] = (), at_rest: bool = True,
) -> Iterator[str]:  # fmt: skip
    """Each violation as a sentence."""
    world = _World(spool, index, {job.id: job for job in walk(index)}, frozenset(taken), frozenset(lost), at_rest)
    yield from _payloads(world)
    yield from _rows(world)
    yield from _outputs(world)
    yield from _scratch(world)
    yield from _litter(world)
    yield from _inodes(world)
    yield from _numbers(world)
    if sent is not None:
        yield from _conserved(world, sent)


@dataclass(frozen=True, slots=True)
class _World:
    spool: Spool
    index: Index
    jobs: dict[str, Job]
    taken: frozenset[str]
    lost: frozenset[str]
    at_rest: bool


def _right_places(world: _World, job: Job) -> list[str]:
    """The paths of which exactly one must exist (none: the payload must be gone)."""
    if job.state is State.PROCESSING:
        return [world.spool.payload_path(job, place) for place in (Place.READY, Place.CLAIMED)]
    return [] if job.place is Place.GONE else [world.spool.payload_path(job)]


def _payloads(world: _World) -> Iterator[str]:
    """Every payload is explained by a row, and no job has two."""
    found: dict[str, list[str]] = {}
    for path, name in world.spool.payloads():
        found.setdefault(name.job, []).append(path)
        if name.job not in world.jobs and world.at_rest:
            yield f"{path} is a payload that no row explains"
    for job_id, paths in found.items():
        if len(paths) > 1 and world.at_rest:
            yield f"job {job_id} has its payload in {len(paths)} places: {', '.join(paths)}"


def _rows(world: _World) -> Iterator[str]:
    """Every row's payload is in exactly the place that its state says."""
    for job in world.jobs.values():
        right = _right_places(world, job)
        there = [path for path in right if world.spool.exists(path)]
        everywhere = world.spool.find(job.id) if len(there) != 1 else there
        who = f"job {job.id} ({job.state}, attempt {job.attempt})"
        if not world.at_rest and not job.confirmed:
            continue
        if not job.confirmed and job.state is not State.PROCESSING:
            yield f"{who} is not confirmed, and nobody is working"
        if right and not there and job.id not in world.lost:
            yield f"{who} has no payload in {' or '.join(right)}; found: {everywhere or 'nowhere'}"
        if not right and everywhere:
            yield f"{who} says that its payload is gone, but it lies in {everywhere}"
        if job.state is State.PROCESSING and not job.owner:
            yield f"{who} has no owner"


def published(spool: Spool) -> Iterator[tuple[str, str, str]]:
    """Queue, name and path of each entry of the outbox."""
    for name in spool.entries("outbox"):
        if naming.output_id12(name) is None and spool.path(f"outbox/{name}").is_dir():
            for inner in spool.entries(f"outbox/{name}"):
                yield name, inner, f"outbox/{name}/{inner}"
        else:
            yield DEFAULT_QUEUE, name, f"outbox/{name}"


def _outputs(world: _World) -> Iterator[str]:
    """No output without a completed row, none twice, each complete; each completed row has one."""
    by_output = {job.output: job for job in world.jobs.values() if job.output}
    seen: Counter[str] = Counter()
    for queue, name, path in published(world.spool):
        job = by_output.get(name)
        if job is None or job.state is not State.COMPLETED:
            yield f"{path} is an output without a completed row"
            continue
        seen[job.id] += 1
        if queue != job.queue:
            yield f"{path} is an output of queue {job.queue}"
        if job.output_size is not None and (size := _size(world.spool.path(path))) != job.output_size:
            yield f"{path} has {size} bytes, its row says {job.output_size}"
        if job.output_sha256 and world.spool.path(path).is_file():
            data = world.spool.path(path).read_bytes()
            if hashlib.sha256(data).hexdigest() != job.output_sha256:
                yield f"{path} is not what its row's hash says"
    for job in by_output.values():
        expected = 0 if job.output in world.taken else 1
        if world.at_rest and seen[job.id] != expected:
            yield f"job {job.id} is completed and has {seen[job.id]} outputs in the outbox, not {expected}"


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size


def _scratch(world: _World) -> Iterator[str]:
    """work/<owner>/ holds only what that owner's attempts write; claimed/ only what an attempt runs."""
    for owner in world.spool.entries("work"):
        for name in world.spool.entries(f"work/{owner}"):
            scratch = naming.parse_scratch(name)
            job = world.jobs.get(scratch.job) if scratch else None
            runs = job is not None and job.state is State.PROCESSING and job.owner == owner
            if world.at_rest and not (runs and scratch and job and scratch.attempt == job.attempt):
                yield f"work/{owner}/{name} belongs to no attempt that runs"
    for name in world.spool.entries("claimed"):
        claimed = naming.parse_claimed(name)
        if claimed is None:
            yield f"claimed/{name} is not named as a claimed payload"
            continue
        job = world.jobs.get(claimed.job)
        if job is not None and claimed.attempt > job.attempt:
            yield f"claimed/{name} is of an attempt that was never granted"
        if world.at_rest and not (job and job.state is State.PROCESSING and job.attempt == claimed.attempt):
            yield f"claimed/{name} is run by nobody"


def _litter(world: _World) -> Iterator[str]:
    """Every file in the tree is explained by a row or by a rule of spool/README.md."""
    spool = world.spool
    aside = {name for name in spool.entries(".") if name.startswith("index.db.") and ".aside" in name}
    for name in sorted(set(spool.entries(".")) - _TOP - aside):
        yield f"{name} is in the spool's root and has no business there"
    parked = ["dead", "cancelled"]
    parked += [f"{above}/{inner}" for above in ("ready", "done") for inner in spool.entries(above)]
    for directory in parked:
        for name in spool.entries(directory):
            if naming.parse_parked(name) is None:
                yield f"{directory}/{name} is not named as a payload"
    for name in spool.entries("run"):
        if naming.parse_parked(name) or naming.parse_claimed(name):
            yield f"run/{name} is a payload in run/"
    yield from _reasonless(spool)


def _reasonless(spool: Spool) -> Iterator[str]:
    """What was refused has its reason beside it; a reason alone is what a crash may leave."""
    rejected = spool.entries("rejected")
    reasons = {name.partition(".")[0] for name in rejected if name.endswith(".reason.json")}
    for name in rejected:
        if name.partition(".")[0] not in reasons:
            yield f"rejected/{name} has no reason beside it"


def _inodes(world: _World) -> Iterator[str]:
    """After recovery no file has two names in the spool."""
    names: dict[tuple[int, int], str] = {}
    for directory in ("inbox", "ready", "claimed", "done", "dead", "cancelled", "outbox"):
        for above, _, files in os.walk(world.spool.path(directory)):
            for file in files:
                path = os.path.join(above, file)
                found = os.lstat(path)
                if not stat.S_ISREG(found.st_mode):
                    continue
                other = names.setdefault((found.st_dev, found.st_ino), path)
                if other != path and world.at_rest:
                    yield f"{path} and {other} are one file"


def _numbers(world: _World) -> Iterator[str]:
    """Counts equal rows, attempts only grow, one attempt completes, budgets fit the history."""
    rows = Counter((job.queue, job.state) for job in world.jobs.values())
    counts = {(queue, state): number for queue, state, number in world.index.counts()}
    if dict(rows) != counts:
        yield f"the counts table says {counts}, the rows say {dict(rows)}"
    for job in world.jobs.values():
        history = world.index.attempts(job.id)
        numbers = [each.attempt for each in history]
        done = [each.attempt for each in history if each.outcome == "done"]
        if any(number > job.attempt for number in numbers):
            yield f"job {job.id} is at attempt {job.attempt}, but its history knows {numbers}"
        if len(done) > 1 or (done and (job.state is not State.COMPLETED or done != [job.attempt])):
            yield f"job {job.id} ({job.state}, attempt {job.attempt}) has completed attempts {done}"
        if job.failures + job.crashes + job.losses > job.attempt and job.state is not State.FAILED:
            yield f"job {job.id} was charged more often than it ran"
    yield from (f"the index is damaged: {found}" for found in world.index.engine.integrity())


def _conserved(world: _World, sent: Mapping[bytes, bytes]) -> Iterator[str]:
    """What was delivered is in exactly one place, unchanged."""
    places: dict[bytes, list[Path]] = {name: [] for name in sent}
    for job in world.jobs.values():
        if job.name in places:
            there = [world.spool.path(path) for path in world.spool.find(job.id)]
            places[job.name] += there or ([Path("/gone")] if job.place is Place.GONE else [])
    for path in Path(world.spool.root, "inbox").rglob("*"):
        name = os.fsencode(path.relative_to(world.spool.root / "inbox"))
        if name in places and path.is_file():
            places[name].append(path)
    for refused in world.spool.entries("rejected"):
        name = naming.original(refused.partition(".")[2])
        if name in places and not refused.endswith(".reason.json"):
            places[name].append(world.spool.path(f"rejected/{refused}"))
    for name, paths in places.items():
        if len(paths) != 1:
            yield f"{name!r} was delivered once and is in {len(paths)} places: {[str(path) for path in paths]}"
        elif paths[0].exists() and paths[0].read_bytes() != sent[name]:
            yield f"{name!r} has changed on its way to {paths[0]}"
