"""Explains, in words, what becomes of anything a person can name: a file, a job, an output, a refusal.

`why` takes a path, a job id (or the beginning of one), an output's name, or the name that a file once had, and
returns sentences. It asks the same code that decides: the inbox's judgement, the row, the owners' locks; and names
the alarms that concern what was asked after.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pqfs import naming
from pqfs.clock import iso
from pqfs.concerns import alarms_of, alarms_of_inbox
from pqfs.errors import JobNotFound
from pqfs.model import Job
from pqfs.report import Source
from pqfs.story import deleted, tell, why_nobody_ingests
from pqfs.waiting import explain

_RECENT = 7 * 86400.0  # names are looked for among the jobs of this many seconds
_HEX = frozenset("0123456789abcdef-")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about a thing. `kind`: inbox, job, rejected, folder, outside or unknown."""

    target: str
    kind: str
    sentences: tuple[str, ...]
    path: str | None = None
    job: Job | None = None

    @property
    def is_known(self) -> bool:
        """Whether pqfs knows anything about it."""
        return self.kind not in ("unknown", "outside")


def why(source: Source, target: str) -> Answer:
    """Explain a path, a job, an output or a name; an answer of kind `unknown` when nothing is known of it."""
    own = None  # what the spool itself has under a bare name: README.md is the name of many a file
    for place in _places(source, target):
        if os.path.lexists(place) and (answer := _about_path(source, target, place)):
            if answer.kind != "folder" or "/" in target:
                return answer
            own = own or answer
    if job := _job(source, target):
        return _about_job(source, target, job)
    name = os.path.basename(target.rstrip("/"))
    if refused := _refusal(source, name):
        return _about_refusal(target, *refused)
    if job := _job_of_name(source, target):
        return _about_job(source, target, job, f"The newest job of this name is {job.id}.")
    if own:
        return own
    if naming.is_job_id(target.strip().lower()) and (events := source.index.events(target.strip().lower())):
        return Answer(target, "job", tuple(deleted(events)))
    if os.path.lexists(target):
        said = (f"It is not in the spool {source.spool.root}.", "Copy it into inbox/, or: pqfs submit FILE")
        return Answer(target, "outside", said, os.path.abspath(target))
    said = ("pqfs knows no file, job or output of this name.", "It may have been purged: names live as long as rows.")
    return Answer(target, "unknown", said)


def named(source: Source, target: str) -> Job | None:
    """The job that a path, an id, the beginning of one, an output or a name means; None when there is none."""
    root = source.spool.root.resolve()
    for place in _places(source, target):
        if os.path.lexists(place) and place.is_relative_to(root) and (job := _job_of_file(source, place.name)):
            return job
    return _job(source, target) or _job_of_name(source, target)


def _places(source: Source, target: str) -> Iterator[Path]:
    """Where a target may lie: as it stands, below the spool, in one of its directories."""
    root = source.spool.root
    given = Path(os.path.abspath(target))
    yield given.parent.resolve() / given.name if given.parent.exists() else given
    if target.strip("./") and not target.startswith("/"):
        yield from (root / target, root / "inbox" / target, root / "outbox" / target, root / "rejected" / target)


def _about_path(source: Source, target: str, path: Path) -> Answer | None:
    root = source.spool.root.resolve()
    if not path.is_relative_to(root):
        return None
    relative = path.relative_to(root).as_posix()
    first, _, rest = relative.partition("/")
    if relative == ".":
        return Answer(target, "folder", ("It is the spool itself. See: pqfs status",), relative)
    if not rest:
        return Answer(target, "folder", (f"It is the spool's own {relative}.",), relative)
    if first == "inbox":
        return about_inbox(source, target, rest)
    if first == "rejected" and (refused := _refusal(source, path.name)):
        return _about_refusal(target, *refused)
    if first == "receipts" and path.is_file():
        return _about_receipt(source, target, path)
    if job := _job_of_file(source, path.name):
        return _about_job(source, target, job)
    return Answer(target, "folder", (_about_own(path, first, relative),), relative)


def _about_own(path: Path, first: str, relative: str) -> str:
    """What else lies in the spool: pqfs' own files, and what neither a row nor a rule explains."""
    if first == "meta" and naming.is_note(path.name):
        return "It is what people set of a queue or a schedule, kept for a rebuild of the index."
    if first == "run" or path.is_dir():
        return f"It is the spool's own {naming.printable_path(relative)}; never change it while pqfs runs."
    return f"No job explains {naming.printable_path(relative)}. See: pqfs fsck"


def _about_receipt(source: Source, target: str, path: Path) -> Answer:
    """What a receipt says, and of which job; one whose job is forgotten still says it."""
    try:
        said = json.loads(path.read_bytes())
        first = f"It is the receipt of {said['name']}: {said['state']} at {said['at']}."
        job = source.index.job(said.get("job") or "")
    except (OSError, ValueError, KeyError, TypeError):
        return Answer(target, "folder", ("It lies among the receipts, and can not be read as one.",), str(path))
    return _about_job(source, target, job, first) if job else Answer(target, "folder", (first,), str(path))


# -------------------------------------------------------------------- files of the inbox


def about_inbox(source: Source, target: str, relative: str) -> Answer:
    """Why a file in the inbox is still there. `relative` is its path below inbox/."""
    sentences = [
        *explain(source, relative),
        *why_nobody_ingests(source),
        *alarms_of_inbox(source, os.fsencode(relative)),
    ]
    return Answer(target, "inbox", tuple(sentences), f"inbox/{relative}")


# -------------------------------------------------------------------- jobs


def _job(source: Source, target: str) -> Job | None:
    """The job of an id, of the beginning of one, of a payload's name or of an output's name."""
    text = target.strip().lower()
    if len(text) >= 4 and not set(text) - _HEX:
        like = source.index.jobs_like(text, 2)
        if len(like) > 1:
            raise JobNotFound(f"whose id alone begins with {text}")
        if like:
            return like[0]
    return _job_of_file(source, os.path.basename(target))


def _job_of_file(source: Source, name: str) -> Job | None:
    parsed = naming.parse_claimed(name) or naming.parse_parked(name) or naming.parse_scratch(name)
    if parsed:
        return source.index.job(parsed.job)
    if meta := naming.parse_meta(name):
        return source.index.job(meta)
    return source.index.job_by_output(name) if naming.is_text(name) else None


def _job_of_name(source: Source, target: str) -> Job | None:
    """The newest job that had this name when it was dropped, in any queue, within a week.

    Each question looks through the jobs of that week, so there are few of them, however many queues there are.
    """
    relative = target.removeprefix(f"{source.spool.root}/").removeprefix("spool/").removeprefix("inbox/")
    head, _, tail = relative.partition("/")
    wanted: set[tuple[str, str]] = {("", relative), ("", os.path.basename(relative))}
    if tail and head in {queue.name for queue in source.index.queues()}:
        wanted.add((head, tail))
    since = source.clock.now() - _RECENT
    found = [
        job
        for queue, name in sorted(wanted)
        for form in {os.fsencode(name), naming.original(name)}
        if form and (job := source.index.job_by_name(queue or None, form, since))
    ]
    return max(found, key=lambda job: job.id, default=None)


def _about_job(source: Source, target: str, job: Job, first: str | None = None) -> Answer:
    sentences = [*([first] if first else []), *tell(source, job), *alarms_of(source, job)]
    return Answer(target, "job", tuple(sentences), job=job)


# -------------------------------------------------------------------- refusals


def _refusal(source: Source, name: str) -> tuple[str, dict[str, Any]] | None:
    """A rejected object by its name in rejected/, its number, or the name that it had; the newest counts."""
    folder = source.spool.path("rejected")
    number = name[:12]
    reasons = [folder / f"{number}.reason.json"]
    if not reasons[0].is_file():
        reasons = sorted(folder.glob("*.reason.json"), key=_changed, reverse=True)
    for path in reasons:
        try:
            said = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if path.name.startswith(f"{number}.") or os.path.basename(naming.original(said["name"])) == os.fsencode(name):
            return path.name[:12], said
    return None


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _about_refusal(target: str, number: str, said: dict[str, Any]) -> Answer:
    sentences = [f"{said.get('name')} was rejected at {iso(said['at'])}: {said.get('reason')}."]
    if said.get("job"):
        sentences.append(f"It belongs to job {said['job']}.")
    sentences.append(f"Put it back into the inbox with: pqfs rejected retry {number}")
    return Answer(target, "rejected", tuple(sentences), f"rejected/{number}.{said.get('name')}")
