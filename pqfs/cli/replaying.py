"""How `pqfs replay` and `pqfs jobs edit` work: a look first, a question, then batch by batch; and a report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pqfs.cli import bulk, progress, terminal
from pqfs.cli.glance import size
from pqfs.errors import PqfsError
from pqfs.replay import Author, Change, Replay
from pqfs.verbs import Tally

if TYPE_CHECKING:
    from pqfs.cli.selection import Wanted
    from pqfs.model import Job
    from pqfs.wiring import App

_VERB = "replay"
_BATCH = 256
_BATCH_BYTES = 256 << 20


@dataclass
class _Look:
    """What a look has found: how many can be replayed, of how many bytes, and which can not."""

    count: int = 0
    bytes: int = 0
    tally: Tally = field(default_factory=lambda: Tally(lambda job, error: None))


def replay(app: App, wanted: Wanted, change: Change, manner: bulk.Manner, again: bool) -> int:
    """Look, ask, and make new jobs; the exit code."""
    _take_over(app)
    with Replay(app.jobqueue, app.clock, Author(terminal.actor(), _VERB, manner.reason), again) as made:
        look = _look(app, made, wanted, change, manner)
        if manner.dry_run:
            return look.tally.exit_code()
        if look.count and not wanted.is_one:
            if not manner.yes:
                bulk.say_skipped(look.tally.first, look.tally.skipped)
            many = "1 job" if look.count == 1 else f"{look.count} jobs"
            terminal.confirm(f"Make {many} anew ({size(look.bytes)})?", manner.yes)
        tally = _make_all(app, made, wanted, change, manner)
    if wanted.is_one and tally.first and not manner.as_json:
        raise tally.first[0][1]
    _report(tally, manner.as_json)
    return tally.exit_code()


def _take_over(app: App) -> None:
    """What an earlier replay moved in and died before it could commit becomes jobs first, and so is passed over."""
    recovery = app.recovery()
    for owner in recovery.dead_owners():
        if owner.startswith(f"{_VERB}."):
            recovery.reap(owner)


def _look(app: App, made: Replay, wanted: Wanted, change: Change, manner: bulk.Manner) -> _Look:
    """Go through all that is wanted without changing anything; a dry run tells each."""
    look = _Look()
    silence = nullcontext(lambda job, error: None)
    with bulk.telling(manner.as_json, verb="replay", dry_run=True) if manner.dry_run else silence as tell:
        look.tally = Tally(tell)
        with progress.bar("looking", wanted.total) as advance:
            for text in wanted.ids():
                try:
                    job = app.jobqueue.job(text)
                    made.check(job, change)
                    look.count, look.bytes = look.count + 1, look.bytes + job.size
                    look.tally.note(job.id)
                except PqfsError as error:
                    look.tally.note(text, error)
                advance(1)
    if manner.dry_run and not manner.as_json:
        terminal.say(f"{look.count} would be made anew, {size(look.bytes)}.")
        bulk.say_skipped(look.tally.first, look.tally.skipped)
    return look


def _make_all(app: App, made: Replay, wanted: Wanted, change: Change, manner: bulk.Manner) -> Tally:
    with _telling(manner.as_json) as told:
        tally = Tally(told.skipped)
        try:
            with progress.bar("replay", wanted.total) as advance:
                for batch in _batches(app, wanted, tally, advance):
                    _make(made, batch, change, tally, told)
        except KeyboardInterrupt:
            terminal.say(f"Interrupted: {tally.done} made anew. Run it again for the rest: these are passed over.")
            raise
    return tally


def _batches(app: App, wanted: Wanted, tally: Tally, advance: Any) -> Iterator[list[Job]]:
    batch: list[Job] = []
    for text in wanted.ids():
        advance(1)
        try:
            batch.append(app.jobqueue.job(text))
        except PqfsError as error:
            tally.note(text, error)
        if len(batch) >= _BATCH or sum(job.size for job in batch) >= _BATCH_BYTES:
            yield batch
            batch = []
    yield batch


def _make(made: Replay, batch: list[Job], change: Change, tally: Tally, told: Any) -> None:
    """One commit for a batch. What was staged is committed even where the next can not be: a quota, a full disk."""
    failed: list[tuple[str, PqfsError]] = []
    for job in batch:
        try:
            made.add(job, change)
        except PqfsError as error:
            failed.append((job.id, error))
    for old, new in made.commit():
        told.made(old.id, new)
        tally.done += 1
    for job_id, why in failed:
        tally.note(job_id, why)


def _telling(as_json: bool) -> Any:
    return _JsonPairs() if as_json else _Lines()


class _Lines:
    """The new ids, one a line."""

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is left to be written."""

    def made(self, old: str, new: str) -> None:
        """A new job."""
        terminal.put(new)

    def skipped(self, job: str, error: PqfsError | None) -> None:
        """One that was passed over is told at the end."""


class _JsonPairs:
    """Items of one JSON object: the old job, the new one, and why not."""

    def __enter__(self) -> _JsonPairs:
        self._items = terminal.JsonItems("replay", {})
        self._items.begin()
        return self

    def __exit__(self, *error: object) -> None:
        self._items.end()

    def made(self, old: str, new: str) -> None:
        """A new job."""
        self._items.add({"origin": old, "job": new, "why": None})

    def skipped(self, job: str, error: PqfsError | None) -> None:
        """One that was passed over."""
        self._items.add({"origin": job, "job": None, "why": error.message if error else None})


def _report(tally: Tally, as_json: bool) -> None:
    if as_json:
        return
    terminal.say(f"{tally.done} made anew.")
    bulk.say_skipped(tally.first, tally.skipped)


def edit(app: App, text: str, change: Change, reason: str | None, as_json: bool) -> None:
    """Make one new job of an old one with something changed, and print its id."""
    job = app.jobqueue.job(text)
    with Replay(app.jobqueue, app.clock, Author(terminal.actor(), "edit", reason), again=True) as made:
        made.add(job, change)
        ((_, new),) = made.commit()
    if as_json:
        with _JsonPairs() as told:
            told.made(job.id, new)
    else:
        terminal.put(new)
        terminal.say(f"Job {job.id} stays as it is.")
