"""Holds the tree against the index and says what does not agree. Changes nothing; safe while everything runs.

A finding is only reported when it stands: the row is read, the tree is looked at, and the row is read again; if
it has changed meanwhile, the question starts anew. Rows are read in chunks and directories one at a time, so that
memory does not grow with the spool. Every finding says how it is repaired; `pqfs fsck --repair` is the janitor's
look and a registration of the payloads that no row knows, then this check once more.
"""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pqfs import naming
from pqfs.index import walk
from pqfs.model import FINAL, Job, Place, State
from pqfs.naming import Claimed, Parked
from pqfs.owners import Life
from pqfs.report import Source
from pqfs.spool import DIRECTORIES

Progress = Callable[[str, int], None]
"""Called with what is looked at (`rows`, `files`) and how many have been so far."""

_RECENT = 10.0  # seconds in which a living process may still put a payload in its place
_LOOKS = 5
_PAUSE = 0.02  # between two looks: most moves take far less
_REMEMBERED = 100_000  # payloads found elsewhere that are kept in mind, so that their rows are not reported too
_AT_ROOT = re.compile(r"index\.db(-wal|-shm)?|index\.db\..*aside.*|README\.md|\..*")
_REJECTED = re.compile(r"[0-9a-f]{12}\..+", re.DOTALL)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_HINT = "pqfs fsck --repair"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not agree: its rule's name, where, which job, what it means, and what repairs it."""

    name: str
    path: str | None
    job: str | None
    explanation: str
    repair: str


class Fsck:
    """One check of one spool."""

    def __init__(self, source: Source, progress: Progress = lambda what, count: None) -> None:
        self._source = source
        self._spool = source.spool
        self._index = source.index
        self._progress = progress
        self._elsewhere: set[str] = set()
        self._files = 0

    def findings(self) -> Iterator[Finding]:
        """Everything that is not as it should be, as it is found."""
        for problem in self._index.engine.integrity():
            yield Finding("index damaged", "index.db", None, problem, "Stop pqfs, then: pqfs index rebuild")
        yield from self._check_owners()
        yield from self._check_tree()
        for number, job in enumerate(walk(self._index), 1):
            if self._judge(job) and (finding := self._standing(job.id)):
                yield finding
            self._progress("rows", number)

    # ---------------------------------------------------------------- rows

    def _standing(self, job: str) -> Finding | None:
        """What is wrong with a row, if it stays wrong while the row stays as it is."""
        for _ in range(_LOOKS):
            before = self._index.job(job)
            finding = self._judge(before) if before else None
            if finding is None:
                return None
            time.sleep(_PAUSE)
            if self._index.job(job) == before and before is not None and self._judge(before) is not None:
                return finding
        return None

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
            said = "it is not a regular file any more"
            return Finding("payload exchanged", path, job.id, said, "Look at it, then move it away by hand")
        if job.state in (State.PENDING, State.HELD) and found.st_size != job.size:
            said = f"its row says {job.size} bytes, the file has {found.st_size}"
            return Finding("size differs", path, job.id, said, f"Somebody wrote it: pqfs jobs cancel {job.id}")
        return self._judge_unpublished(job)

    def _judge_missing(self, job: Job, path: str) -> Finding | None:
        if job.id in self._elsewhere or (len(self._elsewhere) >= _REMEMBERED and self._spool.find(job.id)):
            return None
        said = f"its row says {job.state}, and its payload is nowhere in the spool"
        verb = "delete" if job.state in FINAL else "fail"
        return Finding("payload missing", path, job.id, said, f"Nothing brings it back: pqfs jobs {verb} {job.id}")

    def _judge_processing(self, job: Job) -> Finding | None:
        if job.owner is not None and self._source.owners.life(job.owner) is Life.DEAD:
            said = f"it is leased to {job.owner}, which is dead"
            return Finding("owner dead", None, job.id, said, f"The janitor gives it back within seconds; or {_HINT}")
        places = [self._spool.payload_path(job, place) for place in (Place.READY, Place.CLAIMED)]
        if any(self._spool.exists(path) for path in places) or job.id in self._elsewhere:
            return None
        said = f"attempt {job.attempt} runs it, and its payload is nowhere in the spool"
        return Finding("payload missing", places[1], job.id, said, "It fails as lost when its consumer asks for it")

    def _judge_unconfirmed(self, job: Job) -> Finding | None:
        age = self._source.clock.now() - job.updated_at
        dead = job.owner is None or self._source.owners.is_dead(job.owner)
        if age < (2.0 if dead else _RECENT):
            return None
        if unpublished := self._judge_unpublished(job):
            return unpublished
        said = f"it became {job.state} {age:.0f} s ago, and nobody has put its payload in {job.place}/ since"
        return Finding("not in place", None, job.id, said, f"The janitor does within seconds; or {_HINT}")

    def _judge_unpublished(self, job: Job) -> Finding | None:
        if job.state is not State.COMPLETED or job.owner is None:
            return None
        staged = self._spool.scratch_path(job.owner, job.id, job.attempt, "out")
        if not self._spool.exists(staged):
            return None
        said = f"it is completed, and its output {job.output} is not published yet"
        return Finding("not published", staged, job.id, said, f"The janitor does within seconds; or {_HINT}")

    # ---------------------------------------------------------------- owners

    def _check_owners(self) -> Iterator[Finding]:
        owners = self._source.owners
        for owner in owners.names():
            if owners.is_dead(owner):
                path = f"run/{owner}.lock"
                yield Finding("lock of a dead owner", path, None, f"{owner} is dead", f"The janitor; or {_HINT}")
        for owner in self._spool.entries("work"):
            if owners.is_dead(owner) and self._spool.exists(f"work/{owner}"):
                said = f"{owner} is dead and left {len(self._spool.entries(f'work/{owner}'))} files"
                yield Finding("scratch of a dead owner", f"work/{owner}", None, said, f"The janitor; or {_HINT}")

    # ---------------------------------------------------------------- the tree

    def _check_tree(self) -> Iterator[Finding]:
        for name in self._spool.entries("."):
            if name not in DIRECTORIES and not _AT_ROOT.fullmatch(name):
                yield _unexplained(name)
        for folder in ("ready", "work", "done"):
            yield from self._check_folders(folder)
        for arriver in self._spool.entries("ready"):
            yield from self._check_directory(f"ready/{arriver}", naming.parse_parked)
        yield from self._check_directory("claimed", naming.parse_claimed)
        for date in self._spool.entries("done"):
            yield from self._check_directory(f"done/{date}", naming.parse_parked)
        yield from self._check_directory("dead", naming.parse_parked)
        yield from self._check_directory("cancelled", naming.parse_parked)
        yield from self._check_scratch()
        yield from self._check_rejected()
        yield from self._check_meta()

    def _check_folders(self, relative: str) -> Iterator[Finding]:
        """What holds one folder an owner or a day holds nothing else."""
        for name in self._spool.entries(relative):
            found = self._spool.status(f"{relative}/{name}")
            strange = relative == "done" and not _DAY.fullmatch(name)
            if found and not name.startswith(".") and (strange or not stat.S_ISDIR(found.st_mode)):
                yield _unexplained(f"{relative}/{name}")

    def _check_directory(self, relative: str, parse: Callable[[str], Parked | Claimed | None]) -> Iterator[Finding]:
        for name in self._spool.entries(relative):
            parsed = parse(name)
            self._files += 1
            self._progress("files", self._files)
            if parsed is None and not name.startswith("."):
                yield _unexplained(f"{relative}/{name}")
            elif parsed is not None and (finding := self._standing_file(f"{relative}/{name}", parsed)):
                yield finding

    def _standing_file(self, path: str, name: Parked | Claimed) -> Finding | None:
        """What is wrong with a payload's place, if it stays wrong while row and file stay as they are."""
        for _ in range(_LOOKS):
            before = self._index.job(name.job)
            finding = self._judge_file(path, name, before)
            if finding is None:
                return None
            time.sleep(_PAUSE)
            if self._index.job(name.job) == before and self._spool.exists(path):
                if before is not None and len(self._elsewhere) < _REMEMBERED:
                    self._elsewhere.add(name.job)
                return finding
        return None

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
            return Finding("payload not removed", path, job.id, "its row says that it is gone", "Remove it by hand")
        if any(self._spool.exists(other) for other in expected):
            said = f"its row says {job.state}, and its payload is in {expected[-1]} too"
            return Finding("payload in two places", path, job.id, said, "Compare the two and remove this one by hand")
        said = f"its row says {job.state}, so its payload belongs in {expected[-1]}"
        return Finding("payload misplaced", path, job.id, said, _HINT)

    def _judge_unregistered(self, path: str, name: Parked | Claimed) -> Finding | None:
        first, _, rest = path.partition("/")
        arriver = rest.partition("/")[0]
        if first == "ready" and self._source.owners.life(arriver) is Life.ALIVE:
            return None  # on its way in: it belongs to whoever accepted it
        return Finding("payload without a row", path, name.job, "the index does not know this job", _HINT)

    def _check_scratch(self) -> Iterator[Finding]:
        for owner in self._spool.entries("work"):
            for name in self._spool.entries(f"work/{owner}"):
                if naming.parse_scratch(name) is None:
                    yield _unexplained(f"work/{owner}/{name}")

    def _check_rejected(self) -> Iterator[Finding]:
        """An object and its reason stand side by side; the reason is written first."""
        names = self._spool.entries("rejected")
        reasons = {name[:12] for name in names if name.endswith(".reason.json")}
        objects = {name[:12] for name in names if not name.endswith(".reason.json")}
        for name in names:
            path = f"rejected/{name}"
            if name.startswith(".") or not self._spool.exists(path):
                continue
            if not _REJECTED.fullmatch(name):
                yield _unexplained(path)
            elif name[:12] not in reasons:
                yield Finding("no reason", path, None, "nothing says why it was rejected", "Look at it by hand")
            elif name[:12] not in objects and self._is_old(path):
                yield Finding("reason alone", path, None, "what it speaks of is not here", "Remove it by hand")

    def _check_meta(self) -> Iterator[Finding]:
        for name in self._spool.entries("meta"):
            if naming.parse_meta(name) is None and not name.startswith("."):
                yield _unexplained(f"meta/{name}")

    def _is_old(self, path: str) -> bool:
        found = self._spool.status(path)
        return found is not None and self._source.clock.now() - found.st_mtime > _RECENT


def _unexplained(path: str) -> Finding:
    return Finding("unexplained name", path, None, "pqfs did not make this", "Look at it, then move it away by hand")


def check(source: Source, progress: Progress = lambda what, count: None) -> Iterator[Finding]:
    """Everything in the spool that neither a row nor a rule explains, as it is found."""
    return Fsck(source, progress).findings()
