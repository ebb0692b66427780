"""Waiting until jobs have ended, and saying how: for `submit --wait`, `jobs wait` and a canary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pqfs.cli import terminal
from pqfs.errors import TimedOut
from pqfs.model import FINAL, State
from pqfs.story import is_unpublished

if TYPE_CHECKING:
    from pqfs.model import Job
    from pqfs.wiring import App

_POLL = 0.05  # seconds


def await_ends(app: App, ids: Sequence[str], patience: float) -> None:
    """Wait until all have ended and their outputs are there. One that is deleted meanwhile has ended.

    Raises:
        TimedOut: some had not after so many seconds.
    """
    deadline = time.monotonic() + patience
    left = list(ids)
    while left := [each for each in left if _is_open(app, app.index.job(each))]:
        if time.monotonic() >= deadline:
            raise TimedOut(f"{len(left)} of {len(ids)} jobs have not ended.", f"See: pqfs why {left[0]}")
        time.sleep(_POLL)


def _is_open(app: App, job: Job | None) -> bool:
    return job is not None and (job.state not in FINAL or is_unpublished(app, job))


def say_ends(app: App, ids: Sequence[str], as_json: bool) -> int:
    """Say how they ended: 0 when all were completed, else 1."""
    if as_json:
        put_jobs(app, ids)
    code = 0
    for each in ids:
        job = app.index.job(each)
        if job is None:
            continue
        if job.state is State.COMPLETED and job.output:
            terminal.say(f"{job.id} completed: {app.spool.path(app.spool.output_path(job.queue, job.output))}")
        else:
            terminal.say(f"{job.id} {job.state}: {job.error}")
            code = 1
    return code


def put_jobs(app: App, ids: Sequence[str]) -> None:
    """Print them as one JSON object."""
    from pqfs.report import job_item

    terminal.put_json("jobs", [job_item(job) for each in ids if (job := app.index.job(each))])
