"""`pqfs jobs assign`: one consumer alone is to run a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pqfs.assignments import refuse_program
from pqfs.cli import terminal
from pqfs.errors import Refused

if TYPE_CHECKING:
    import typer


@dataclass(frozen=True, slots=True)
class Manner:
    """How it is done: for all again, why, answering in JSON."""

    anybody: bool
    reason: str | None
    as_json: bool


def assign(context: typer.Context, job: str, consumer: str | None, manner: Manner) -> None:
    """Assign it, or take the assignment back, and say so.

    Raises:
        Refused: neither or both were named, or that consumer does not serve the job's queue.
        ConsumerNotFound: no such consumer lives.
    """
    if (consumer is None) != manner.anybody:
        raise Refused("Name one consumer, or say --anybody, but not both.", "See: pqfs consumers list")
    app = terminal.opened(context)
    try:
        found = app.jobqueue.job(job)
        if consumer is not None:
            refuse_program(app, found, consumer)
        assigned = app.jobqueue.assign(found, consumer, terminal.actor(), manner.reason, app.clock.now())
    finally:
        app.close()
    if manner.as_json:
        terminal.put_json("acts", [{"id": assigned.id, "done": True, "why": None}], verb="assign", dry_run=False)
    else:
        terminal.put(assigned.id)
        terminal.say(f"Only {consumer} may claim it." if consumer else "Every consumer of its queue may claim it.")
