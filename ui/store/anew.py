"""Old jobs made anew: as they were (*replay*), or one with something changed (*edit*). The old ones stay."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj

from pqfs import verbs
from pqfs.errors import PqfsError
from pqfs.model import Job
from pqfs.queueing import Queueing
from pqfs.replay import Author as By
from pqfs.replay import Change, Replay
from pqfs.verbs import Tally
from pqfs.wiring import App
from ui.store.acts import Scope, meant
from ui.store.door import Answer
from ui.store.undertakings import Author, Undertaking, begin
from ui.store.upkeep import Given, Order

_BATCH = 256
_BATCH_BYTES = 256 << 20


def replay(scope: Scope, author: Author) -> Answer[int]:
    """Make them anew from their inputs; what was made anew before is passed over."""

    def work(app: App, undertaking: Undertaking) -> str:
        _take_over(app)
        tally = Tally(undertaking.note)
        with Replay(app.jobqueue, app.clock, By(author.actor, "replay", author.reason)) as made:
            for batch in _batches(app, meant(app, verbs.REPLAY, scope, tally)):
                _make(made, batch, tally)
        return f"Made anew: {tally.done:,}."

    return begin("Replay", author, work)


def _take_over(app: App) -> None:
    """What an earlier replay moved in and died before it could commit becomes jobs first, and so is passed over."""
    recovery = app.recovery()
    for owner in recovery.dead_owners():
        if owner.startswith("replay."):
            recovery.reap(owner)


def _batches(app: App, jobs: Iterable[str]) -> Iterator[list[Job]]:
    batch: list[Job] = []
    for each in jobs:
        batch.append(app.jobqueue.job(each))
        if len(batch) >= _BATCH or sum(job.size for job in batch) >= _BATCH_BYTES:
            yield batch
            batch = []
    yield batch


def _make(made: Replay, batch: list[Job], tally: Tally) -> None:
    """One commit for a batch. What was staged is committed even where the next can not be."""
    passed: list[tuple[str, PqfsError]] = []
    for job in batch:
        try:
            made.add(job, Change())
        except PqfsError as error:
            passed.append((job.id, error))
    for old, _ in made.commit():
        tally.note(old.id)
    for old_id, why in passed:
        tally.note(old_id, why)


@dataclass(frozen=True, slots=True)
class Edit:
    """What is to be other than it was; a queue, and what is empty or None as it was. `given`: another content."""

    order: Order
    given: Given | None = None


def edit(job: Job, wanted: Edit, author: Author) -> Answer[int]:
    """Make one new job of an old one with something changed, as often as somebody asks."""

    def work(app: App, undertaking: Undertaking) -> str:
        wish = wanted.order.wish(app.clock.now())
        Queueing(app.jobqueue).queue(wish.queue)
        with tempfile.TemporaryDirectory(prefix="pqfs-") as folder:
            change = Change(_laid(wanted.given, folder), wish.queue, wish.priority, wish.ready_at)
            with Replay(app.jobqueue, app.clock, By(author.actor, "edit", author.reason), again=True) as made:
                made.add(app.jobqueue.job(job.id), change)
                ((_, new),) = made.commit()
        undertaking.note(new)
        return f"Job {new} is made of it, which stays as it is."

    return begin("Edit a job", author, work)


def _laid(given: Given | None, folder: str) -> Path | None:
    if given is None:
        return None
    path = Path(folder) / "payload"
    with path.open("wb") as file:
        copyfileobj(given.source, file)
    return path
