"""Everything that is known when all is over: books, outputs, payloads, rows. Read once, judged later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pqfs import naming
from pqfs.index import Index, walk
from pqfs.model import Attempt, Job
from pqfs.naming import output_id12
from pqfs.outputs import measure
from pqfs.spool import Spool
from pqfs.torture import payload
from pqfs.torture.books import Line, read_all
from pqfs.torture.ground import Ground
from pqfs.torture.payload import Found


@dataclass(frozen=True, slots=True)
class Sent:
    """One payload as it was brought. `is_certain` False: by a submit that was killed, so it may never have come."""

    number: int
    sha256: str
    name: str
    queue: str
    behaviour: str
    way: str
    is_certain: bool
    job: str | None


@dataclass(frozen=True, slots=True)
class Output:
    """One output as it lies on the disk now."""

    name: str
    sha256: str
    found: Found


@dataclass(frozen=True, slots=True)
class Input:
    """One payload as it lies in the spool now. `job` None: it is in the inbox, or was refused."""

    path: str
    job: str | None
    number: int | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Act:
    """What an operator did to a job: `answer` is done, asked, refused or unknown (killed on the way)."""

    at: float
    ended_at: float
    verb: str
    job: str
    name: str
    answer: str


@dataclass(frozen=True, slots=True)
class Account:
    """All of it."""

    sent: dict[int, Sent]
    outputs: list[Output]
    inputs: list[Input]
    jobs: dict[str, Job]
    attempts: dict[str, list[Attempt]]
    seen: list[Line]
    acts: list[Act]
    kills: list[Line]
    notes: list[Line]
    ending: dict[str, Any]
    small: dict[str, Any] | None = None  # what came of the part on a small disk, if there was one

    def deleted(self) -> dict[str, Act]:
        """Jobs that an operator wanted deleted, whether or not it was answered."""
        return {act.job: act for act in self.acts if act.verb == "delete" and act.answer != "refused"}


def gather(ground: Ground) -> Account:
    """Read everything. The stack must have ended."""
    spool, index = Spool(ground.spool), ground.index()
    try:
        jobs = {job.id: job for job in walk(index)}
        return Account(
            sent={each.number: each for each in _sent(ground)},
            outputs=list(_outputs(ground)),
            inputs=list(_inputs(spool)),
            jobs=jobs,
            attempts=_attempts(index, jobs),
            seen=read_all(ground.books, "seen"),
            acts=_acts(ground),
            kills=sorted(read_all(ground.books, "kills"), key=lambda line: float(line["at"])),
            notes=read_all(ground.books, "notes"),
            ending=json.loads((ground.books / "storm.json").read_text()),
            small=_small(ground),
        )
    finally:
        index.close()
        spool.close()


def _small(ground: Ground) -> dict[str, Any] | None:
    told = ground.books / "smalldisk.json"
    return json.loads(told.read_text()) if told.exists() else None


def _attempts(index: Index, jobs: dict[str, Job]) -> dict[str, list[Attempt]]:
    return {job: index.attempts(job) for job in jobs}


def _sent(ground: Ground) -> Iterator[Sent]:
    begun: dict[int, Line] = {}
    for line in read_all(ground.books, "sent"):
        if line["phase"] == "begin":
            begun[line["number"]] = line
            continue
        first = begun.pop(line["number"])
        is_certain = line["phase"] == "end"
        yield _one_sent(first, is_certain, line["job"] if is_certain else None)
    yield from (_one_sent(first, False, None) for first in begun.values())


def _one_sent(line: Line, is_certain: bool, job: str | None) -> Sent:
    return Sent(
        line["number"], line["sha256"], line["name"], line["queue"], line["behave"], line["way"], is_certain, job
    )


def _acts(ground: Ground) -> list[Act]:
    """Acts in the order in which they began; one without an answer was cut off."""
    done: list[Act] = []
    for path in sorted(ground.books.glob("acts-*.jsonl")):
        begun: Line | None = None
        for line in read_all(ground.books, path.stem):
            if line["phase"] == "begin":
                begun = line
            elif line["phase"] == "end" and begun is not None:
                done.append(_one_act(begun, line["at"], line["answer"]))
                begun = None
        if begun is not None:
            done.append(_one_act(begun, float("inf"), "unknown"))
    return sorted(done, key=lambda act: act.at)


def _one_act(begun: Line, ended_at: float, answer: str) -> Act:
    return Act(begun["at"], ended_at, begun["verb"], begun["job"], begun["name"], answer)


def _outputs(ground: Ground) -> Iterator[Output]:
    for folder in (ground.taken, *ground.outboxes().values()):
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if output_id12(path.name):
                    yield Output(path.name, measure(path)[1], payload.open_output(path))


def _inputs(spool: Spool) -> Iterator[Input]:
    for path, name in spool.payloads():
        yield _input(spool.path(path), path, name.job, naming.printable(naming.original(name.name)))
    for folder in ("inbox", "rejected"):
        for found in sorted(spool.path(folder).rglob("*")):
            if found.is_file() and found.name[0] != "." and not found.name.endswith(".reason.json"):
                yield _input(found, str(found.relative_to(spool.root)), None, found.name)


def _input(path: Path, relative: str, job: str | None, name: str) -> Input:
    return Input(relative, job, payload.number_of(path.read_bytes(), name), measure(path)[1])
