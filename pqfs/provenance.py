"""Where an output comes from: its input, its handler, every attempt, and who did what on the way.

Everything is read as it was recorded. With `check` the kept input and the published output are read, too: the one to
tell its hash, the other to hold it against the hash that was committed with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pqfs import outputs
from pqfs.index import Event
from pqfs.index.filters import Filters
from pqfs.model import Attempt, Job, Place, State
from pqfs.report import Source

BUILT_IN = "timestamp"  # what ran an attempt that names no handler


@dataclass(frozen=True, slots=True)
class Input:
    """What a job was made of. `path` None: it is no longer kept; `sha256` only where it was asked for and is kept."""

    name: bytes
    size: int
    path: Path | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Output:
    """What a job has published. `path` None: somebody has taken it. `is_unchanged` only where it was asked for."""

    name: str
    path: Path | None
    size: int | None
    sha256: str | None
    is_unchanged: bool | None


@dataclass(frozen=True, slots=True)
class Account:
    """All that is known of one job."""

    job: Job
    input: Input
    handler: dict[str, Any] | None
    output: Output | None
    asked: dict[str, Any]
    origin: str | None
    made_into: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    events: tuple[Event, ...]


def account(source: Source, job: Job, check: bool = False) -> Account:
    """Tell of a job, and of what became of it."""
    attempts = tuple(source.index.attempts(job.id))
    asked = {key: value for key, value in (job.options or {}).items() if key not in ("origin", "sidecar", "content")}
    made = tuple(each.id for each in Filters(source.index).descendants(job.id))
    return Account(
        job, _input(source, job, check), handler_of(attempts[-1]) if attempts else None, _output(source, job, check),
        asked, job.origin, made, attempts, tuple(source.index.events(job.id)),
    )  # fmt: skip


def handler_of(attempt: Attempt) -> dict[str, Any]:
    """What ran an attempt, and in which version."""
    if attempt.handler is None:
        return {"kind": BUILT_IN}
    try:
        found = json.loads(attempt.handler)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"kind": attempt.handler}


def _input(source: Source, job: Job, check: bool) -> Input:
    path = _kept(source, job)
    return Input(job.name, job.size, path, _measured(path) if check and path else None)


def _kept(source: Source, job: Job) -> Path | None:
    """Where its payload lies: of a job that runs, in either of two places."""
    if job.place is Place.GONE:
        return None
    places = (Place.CLAIMED, Place.READY) if job.state is State.PROCESSING else (job.place,)
    paths = [source.spool.payload_path(job, place) for place in places]
    found = next((path for path in paths if source.spool.exists(path)), None)
    return source.spool.path(found) if found else None


def _output(source: Source, job: Job, check: bool) -> Output | None:
    if job.output is None:
        return None
    relative = source.spool.output_path(job.queue, job.output)
    path = source.spool.path(relative) if source.spool.exists(relative) else None
    unchanged = None
    if check and path and job.output_sha256:
        unchanged = _measured(path) == job.output_sha256
    return Output(job.output, path, job.output_size, job.output_sha256, unchanged)


def _measured(path: Path) -> str | None:
    """A file's hash, or a folder's as it is committed; None when it has gone meanwhile."""
    try:
        return outputs.measure(path)[1]
    except OSError:
        return None
