"""Holds the tree against the index and says what does not agree. Changes nothing; safe while everything runs.

A sieve passes over everything at speed; what it holds back is looked at with care, and told only when it stands:
the row is read, the tree is looked at, and after a pause both again; if the row has changed meanwhile, the question
starts anew. Rows and names come in chunks, so that memory does not grow with the spool. Every kind of finding
stands in `flaws`; `mending` repairs.
"""

from __future__ import annotations

import hashlib
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pqfs import naming
from pqfs.clock import parse_stamp
from pqfs.flaws import Finding, Flaw
from pqfs.index.census import Census
from pqfs.index.schedulerows import known_notes
from pqfs.model import FINAL, Job, Place, State
from pqfs.naming import Claimed, Parked
from pqfs.owners import Life
from pqfs.places import DIRECTORIES
from pqfs.report import Source
from pqfs.sieve import Progress, Sieve, in_chunks

_RECENT = 10.0  # seconds in which a living process may still put a payload in its place
_META_AGE = 3600.0  # the same for a meta file, which is written before its payload moves in
_LOOKS = 5
_PAUSE = 0.02  # between two looks: most moves take far less
_TOGETHER = 500  # doubts that share one pause
_REMEMBERED = 100_000  # payloads found elsewhere that are kept in mind, so that their rows are not reported too
_AT_ROOT = re.compile(
    r"index\.db(-wal|-shm)?|index\.db\..*aside.*|(keys|users)\.json|secrets\.toml|README\.md|lost\+found|\..*"
)
_REJECTED = re.compile(r"[0-9a-f]{12}\..+", re.DOTALL)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_IN_RUN = re.compile(r"(.+\.program|.+\.pulse|ballast|index\.\w+|supervis\w+\..+|.*\.sock.*)")
_OF_OWNER = re.compile(r"(.+)\.(slot|bell|lock)")

Look = Callable[[], tuple[Job | None, Finding | None]]
"""Reads a row and the tree once, and says what is wrong."""


class Fsck:
    """One check of one spool. `deep`: the bytes of the outputs that are still there are compared, too."""

    def __init__(self, source: Source, progress: Progress = lambda what, count: None, deep: bool = False) -> None:
        self._source = source
        self._spool = source.spool
        self._index = source.index
        self._census = Census(source.index.engine)
        self._sieve = Sieve(source.spool, self._census, progress)
        self._deep = deep
        self._elsewhere: set[str] = set()

    def findings(self) -> Iterator[Finding]:
        """Everything that is not as it should be, as it is found."""
        yield from self._check_index()
        yield from self._check_owners()
        yield from self._check_run()
        yield from self._check_names()
        yield from self._standing(partial(self._look_at_file, path) for path in self._sieve.payloads())
        yield from self._standing(partial(self._look_at_output, path) for path in self._sieve.outputs())
        yield from self._check_meta()
        yield from self._check_rejected()
        yield from self._standing(partial(self._look_at_row, job) for job in self._sieve.rows())
        if self._deep:
            yield from self._standing(partial(self._look_into, path) for path in self._published())

    def _standing(self, looks: Iterable[Look]) -> Iterator[Finding]:
        """What stays wrong while the row stays as it is. Many doubts share one pause."""
        for chunk in in_chunks(looks, _TOGETHER):
            doubts = [(look, job, finding) for look in chunk for job, finding in [look()] if finding]
            if doubts:
                time.sleep(_PAUSE)
            for look, job, _ in doubts:
                if finding := _look_again(look, job):
                    self._remember(finding)
                    yield finding

    def _remember(self, finding: Finding) -> None:
        if finding.job and finding.path and finding.flaw in _ELSEWHERE and len(self._elsewhere) < _REMEMBERED:
            self._elsewhere.add(finding.job)

    # ---------------------------------------------------------------- the index alone

    def _check_index(self) -> Iterator[Finding]:
        for problem in self._index.engine.integrity():
            yield Flaw.INDEX_DAMAGED.found("index.db", problem=problem)
        for queue, state, told, found in self._census.miscounts():
            yield Flaw.COUNTS_DIFFER.found(None, queue=queue, state=state, told=told, found=found)
        if odd := self._census.odd_stats(self._source.clock.now()):
            yield Flaw.STATS_ODD.found(None, count=odd)

    # ---------------------------------------------------------------- rows

    def _look_at_row(self, job_id: str) -> tuple[Job | None, Finding | None]:
        job = self._index.job(job_id)
        return job, self._judge(job) if job else None

    def _judge(self, job: Job) -> Finding | None:
        if job.state is State.PROCESSING:
            return self._judge_processing(job)
        if not job.confirmed:
            return self._judge_unconfirmed(job)
        if job.place is Place.GONE:
            return None
        path = self._spool.payload_path(job)
        found = self._spool.status(path)
        if found is None:
            return self._judge_missing(job, path)
        if not stat.S_ISREG(found.st_mode):
            return None if job.id in self._elsewhere else Flaw.PAYLOAD_EXCHANGED.found(path, job.id)
        if job.state in (State.PENDING, State.HELD) and found.st_size != job.size:
            return Flaw.SIZE_DIFFERS.found(path, job.id, told=job.size, found=found.st_size)
        return None

    def _judge_missing(self, job: Job, path: str) -> Finding | None:
        if job.id in self._elsewhere or (len(self._elsewhere) >= _REMEMBERED and self._spool.find(job.id)):
            return None
        ran = job.state in FINAL and job.attempt > 0
        why = "its handler, or a person, removed it" if ran else "somebody removed it"
        return Flaw.PAYLOAD_MISSING.found(path, job.id, state=job.state, why=why)

    def _judge_processing(self, job: Job) -> Finding | None:
        if job.owner is not None and self._source.owners.life(job.owner) is Life.DEAD:
            return Flaw.OWNER_DEAD.found(None, job.id, owner=job.owner)
        places = [self._spool.payload_path(job, place) for place in (Place.READY, Place.CLAIMED)]
        if any(self._spool.exists(path) for path in places) or job.id in self._elsewhere:
            return None
        return Flaw.PAYLOAD_RUN_AWAY.found(places[1], job.id, attempt=job.attempt)

    def _judge_unconfirmed(self, job: Job) -> Finding | None:
        age = self._source.clock.now() - job.updated_at
        dead = job.owner is None or self._source.owners.is_dead(job.owner)
        if age < (2.0 if dead else _RECENT):
            return None
        return self._judge_unpublished(job) or Flaw.NOT_IN_PLACE.found(
            None, job.id, state=job.state, age=age, place=job.place
        )

    def _judge_unpublished(self, job: Job) -> Finding | None:
        if job.state is not State.COMPLETED or job.owner is None:
            return None
        staged = self._spool.scratch_path(job.owner, job.id, job.attempt, "out")
        if not self._spool.exists(staged):
            return None
        return Flaw.NOT_PUBLISHED.found(staged, job.id, output=job.output)

    # ---------------------------------------------------------------- owners

    def _check_owners(self) -> Iterator[Finding]:
        owners = self._source.owners
        for owner in owners.names():
            if owners.is_dead(owner):
                yield Flaw.LOCK_OF_DEAD.found(f"run/{owner}.lock", owner=owner)
        for owner in self._spool.entries("work"):
            names = self._spool.entries(f"work/{owner}")
            if owners.is_dead(owner) and self._spool.exists(f"work/{owner}"):
                yield Flaw.SCRATCH_OF_DEAD.found(f"work/{owner}", owner=owner, count=len(names))
            looks = (partial(self._look_at_scratch, f"work/{owner}/{name}", name) for name in names)
            yield from self._standing(looks)

    def _look_at_scratch(self, path: str, name: str) -> tuple[Job | None, Finding | None]:
        scratch = naming.parse_scratch(name)
        if scratch is None:
            return None, Flaw.NAME_STRANGE.found(path) if self._spool.exists(path) else None
        job = self._index.job(scratch.job) if scratch.suffix == "out" else None
        is_its = job is not None and job.confirmed and job.attempt == scratch.attempt
        return job, self._judge_unpublished(job) if job and is_its else None

    def _check_run(self) -> Iterator[Finding]:
        for name in self._spool.entries("run"):
            match = _OF_OWNER.fullmatch(name)
            if match and match[2] != "lock" and not self._spool.exists(f"run/{match[1]}.lock"):
                if self._source.owners.is_dead(match[1]) and self._is_old(f"run/{name}"):
                    yield Flaw.RUN_LEFTOVER.found(f"run/{name}", owner=match[1])
            elif not match and not _IN_RUN.fullmatch(name):
                yield Flaw.NAME_STRANGE.found(f"run/{name}")

    # ---------------------------------------------------------------- payloads

    def _check_names(self) -> Iterator[Finding]:
        for name in self._spool.entries("."):
            if name not in DIRECTORIES and not _AT_ROOT.fullmatch(name):
                yield Flaw.NAME_STRANGE.found(name)
        for folder in ("ready", "work", "done"):
            yield from self._check_folders(folder)
        yield from self._check_receipts()

    def _check_receipts(self) -> Iterator[Finding]:
        """Receipts, and a folder of them for each queue."""
        for name in self._spool.entries("receipts"):
            if not name.endswith(".json") and not naming.is_queue(name):
                yield Flaw.NAME_STRANGE.found(f"receipts/{name}")

    def _check_folders(self, relative: str) -> Iterator[Finding]:
        """What holds one folder an owner or a day holds nothing else."""
        for name in self._spool.entries(relative):
            found = self._spool.status(f"{relative}/{name}")
            strange = relative == "done" and not _DAY.fullmatch(name)
            if found and (strange or not stat.S_ISDIR(found.st_mode)):
                yield Flaw.NAME_STRANGE.found(f"{relative}/{name}")

    def _look_at_file(self, path: str) -> tuple[Job | None, Finding | None]:
        name = path.rpartition("/")[2]
        parsed = naming.parse_claimed(name) if path.startswith("claimed/") else naming.parse_parked(name)
        found = self._spool.status(path)
        if found is None:
            return None, None
        if parsed is None:
            return None, Flaw.NAME_STRANGE.found(path)
        job = self._index.job(parsed.job)
        if not stat.S_ISREG(found.st_mode):
            return job, Flaw.PAYLOAD_EXCHANGED.found(path, parsed.job)
        return job, self._judge_file(path, parsed, job)

    def _judge_file(self, path: str, name: Parked | Claimed, job: Job | None) -> Finding | None:
        if job is None:
            return self._judge_unregistered(path, name)
        if job.state is State.PROCESSING:
            expected = [self._spool.payload_path(job, place) for place in (Place.READY, Place.CLAIMED)]
        else:
            expected = [] if job.place is Place.GONE else [self._spool.payload_path(job)]
        if path in expected or (job.state is not State.PROCESSING and not job.confirmed):
            return None
        if not expected:
            return Flaw.PAYLOAD_KEPT.found(path, job.id)
        twice = any(self._spool.exists(other) for other in expected)
        flaw = Flaw.PAYLOAD_TWICE if twice else Flaw.PAYLOAD_MISPLACED
        return flaw.found(path, job.id, state=job.state, expected=expected[-1])

    def _judge_unregistered(self, path: str, name: Parked | Claimed) -> Finding | None:
        first, _, rest = path.partition("/")
        arriver = rest.partition("/")[0]
        if first == "ready" and self._source.owners.life(arriver) is Life.ALIVE:
            return None  # on its way in: it belongs to whoever accepted it
        return Flaw.PAYLOAD_UNKNOWN.found(path, name.job)

    # ---------------------------------------------------------------- outputs

    def _look_at_output(self, path: str) -> tuple[Job | None, Finding | None]:
        name = path.rpartition("/")[2]
        tail = naming.output_id12(name)
        if not self._spool.exists(path):
            return None, None
        if tail is None:
            return None, Flaw.NAME_STRANGE.found(path)
        job = self._index.job_by_output(name)
        if job is None:
            return None, None if self._is_forgotten(name, tail) else self._judge_unknown_output(path, tail)
        stray = self._spool.output_path(job.queue, name) != path
        return job, Flaw.OUTPUT_STRAY.found(path, job.id, queue=job.queue) if stray else None

    def _is_forgotten(self, name: str, tail: str) -> bool:
        """Whether the row that published it has been removed since: by its age, or by a person."""
        output = naming.parse_output(name)
        kept_since = self._source.clock.now() - self._source.settings.keep.seconds("rows")
        if output is not None and parse_stamp(output.stamp) < kept_since:
            return True
        return self._census.was_deleted(tail)

    def _judge_unknown_output(self, path: str, tail: str) -> Finding:
        row = self._census.of_tails([tail]).get(tail)
        if row is None or row.state != State.COMPLETED:
            return Flaw.OUTPUT_UNKNOWN.found(path, row.id if row else None)
        job = self._index.job(row.id)
        return Flaw.OUTPUT_TWICE.found(path, row.id, output=job.output if job else "another")

    def _published(self) -> Iterator[str]:
        for name, is_file in self._spool.listing("outbox"):
            if is_file or naming.output_id12(name):
                yield f"outbox/{name}"
            else:
                yield from (f"outbox/{name}/{inner}" for inner, _ in self._spool.listing(f"outbox/{name}"))

    def _look_into(self, path: str) -> tuple[Job | None, Finding | None]:
        """Compare the bytes of an output with its row."""
        job = self._index.job_by_output(path.rpartition("/")[2])
        found = self._spool.status(path)
        if job is None or found is None or not stat.S_ISREG(found.st_mode):
            return job, None
        if job.output_size is not None and found.st_size != job.output_size:
            what = f"its row says {job.output_size} bytes, it has {found.st_size}"
            return job, Flaw.OUTPUT_ALTERED.found(path, job.id, what=what)
        if job.output_sha256 and self._digest(path) not in (None, job.output_sha256):
            return job, Flaw.OUTPUT_ALTERED.found(
                path, job.id, what="its bytes are not those that its row's hash names"
            )
        return job, None

    def _digest(self, path: str) -> str | None:
        try:
            with self._spool.path(path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return None  # a reader has taken it meanwhile

    # ---------------------------------------------------------------- small files

    def _check_meta(self) -> Iterator[Finding]:
        notes = known_notes(self._index)
        for name in self._sieve.metas():
            job, is_note, path = naming.parse_meta(name), naming.is_note(name), f"meta/{name}"
            found = self._spool.status(path)
            if found and ((job is None and not is_note) or not stat.S_ISREG(found.st_mode)):
                yield Flaw.NAME_STRANGE.found(path)
            elif is_note and path not in notes and self._is_old(path, _META_AGE):
                yield Flaw.META_ORPHAN.found(path)
            elif job and job not in self._elsewhere and self._is_old(path, _META_AGE) and self._is_unknown(job):
                yield Flaw.META_ORPHAN.found(path, job)

    def _is_unknown(self, job: str) -> bool:
        return self._index.job(job) is None and not self._spool.find(job)

    def _check_rejected(self) -> Iterator[Finding]:
        """An object and its reason stand side by side; the reason is written first."""
        names = [name for name, _ in self._spool.listing("rejected")]
        reasons = {name[:12] for name in names if name.endswith(".reason.json")}
        objects = {name[:12] for name in names if not name.endswith(".reason.json")}
        for name in names:
            path = f"rejected/{name}"
            if not self._spool.exists(path):
                continue
            if not _REJECTED.fullmatch(name):
                yield Flaw.NAME_STRANGE.found(path)
            elif name[:12] not in reasons:
                yield Flaw.REASON_MISSING.found(path)
            elif name[:12] not in objects and self._is_old(path):
                yield Flaw.REASON_ALONE.found(path)

    def _is_old(self, path: str, age: float = _RECENT) -> bool:
        found = self._spool.status(path)
        return found is not None and self._source.clock.now() - found.st_mtime > age


_ELSEWHERE = (Flaw.PAYLOAD_MISPLACED, Flaw.PAYLOAD_TWICE, Flaw.PAYLOAD_EXCHANGED, Flaw.PAYLOAD_UNKNOWN)


def _look_again(look: Look, before: Job | None) -> Finding | None:
    """Look until row and judgement stay the same twice in a row, or all is well; a few times at most."""
    for _ in range(_LOOKS):
        job, finding = look()
        if finding is None or job == before:
            return finding
        before = job
        time.sleep(_PAUSE)
    return None


def check(
    source: Source, progress: Progress = lambda what, count: None, deep: bool = False
) -> Iterator[Finding]:  # fmt: skip
    """Everything in the spool that neither a row nor a rule explains, as it is found."""
    return Fsck(source, progress, deep).findings()
