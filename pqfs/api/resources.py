"""What there is to see, under /v1: jobs, queues, consumers, dead letters, figures, health. Changes nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from pqfs import health, report
from pqfs.api.access import Access, Caller
from pqfs.api.desk import Desk
from pqfs.api.problems import told
from pqfs.api.shapes import Health, Jobs, JobShape, Listed, QueueName, Ready, StatsShape
from pqfs.api.work import JobId
from pqfs.errors import DiskFull
from pqfs.keys import Role
from pqfs.listing import Page, Wanted
from pqfs.model import DEAD, Job, State
from pqfs.vitals import look

_POLL, _SLOWEST_POLL = 0.05, 0.5  # seconds between two looks of a long poll, growing
_BLOCK = 1 << 18
_RAW = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}

Cursor = Annotated[
    str | None, Query(max_length=40, pattern=r"^[0-9a-f-]+$", description="`next` of the page before.")
]
Limit = Annotated[int, Query(ge=1, le=200)]
Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the job's end.")]


def router(desk: Desk, access: Access) -> APIRouter:
    """The routes, below /v1."""
    routes = APIRouter(prefix="/v1")
    _add_jobs(routes, desk, access)
    _add_bytes(routes, desk, access)
    _add_listings(routes, desk, access)
    _add_state(routes, desk, access)
    return routes


# -------------------------------------------------------------------- jobs


def _add_jobs(routes: APIRouter, desk: Desk, access: Access) -> None:
    viewer, anybody = Depends(access.needs(Role.VIEWER)), Depends(access.needs(*Role))

    @routes.get("/jobs", tags=["jobs"], responses=told(401, 403, 404, 422, 503))
    async def jobs(
        state: State | None = None, queue: QueueName | None = None,
        name: Annotated[str | None, Query(max_length=255, description="A pattern: *.pdf")] = None,
        cursor: Cursor = None, limit: Limit = 50, by: Caller = viewer,
    ) -> Jobs:  # fmt: skip
        """Jobs, newest first, in pages."""
        page = await desk.run(desk.page, Wanted(state, queue, name), cursor, limit)
        return _page(page.jobs, page.next)

    @routes.get("/dead", tags=["jobs"], responses=told(401, 403, 404, 422, 503))
    async def dead(
        queue: QueueName | None = None, cursor: Cursor = None, limit: Limit = 50, by: Caller = viewer
    ) -> Jobs:
        """Dead letters, newest first, in pages: jobs that failed for good, or took their runner down."""
        pages = [await desk.run(desk.page, Wanted(state, queue), cursor, limit) for state in sorted(DEAD)]
        return _merged(pages, limit)

    @routes.get("/jobs/{job_id}", tags=["jobs"], responses=told(401, 403, 404, 422, 503))
    async def job(job_id: JobId, wait: Wait = 0.0, by: Caller = anybody) -> JobShape:
        """A job. With `wait`, as soon as it has ended, or when that time is over, as it is then."""
        return _shape(await _awaited(desk, job_id, wait))


def _page(jobs: tuple[Job, ...], following: str | None) -> Jobs:
    return Jobs(items=[_shape(job) for job in jobs], next=following)


def _merged(pages: list[Page], limit: int) -> Jobs:
    found = sorted((job for page in pages for job in page.jobs), key=lambda job: job.id, reverse=True)
    is_cut = len(found) > limit or any(page.next for page in pages)
    shown = tuple(found[:limit])
    return _page(shown, shown[-1].id if is_cut and shown else None)


def _shape(job: Job) -> JobShape:
    return JobShape.model_validate(report.to_json(report.job_item(job)))


async def _awaited(desk: Desk, job_id: str, patience: float) -> Job:
    deadline, pause = time.monotonic() + patience, _POLL
    while True:
        job = await desk.run(desk.job, job_id)
        left = deadline - time.monotonic()
        if left <= 0 or await desk.run(desk.has_ended, job):
            return job
        await asyncio.sleep(min(pause, left))
        pause = min(_SLOWEST_POLL, 1.5 * pause)


# -------------------------------------------------------------------- bytes


def _add_bytes(routes: APIRouter, desk: Desk, access: Access) -> None:
    consumer, reader = Depends(access.needs(Role.CONSUMER)), Depends(access.needs(Role.VIEWER, Role.PRODUCER))

    @routes.get(
        "/jobs/{job_id}/payload", tags=["consumers"], response_class=Response,
        responses={200: {"content": _RAW}, **told(401, 403, 404, 409, 422, 503)},
    )  # fmt: skip
    async def payload(
        job_id: JobId, attempt: Annotated[int, Query(ge=1, le=2**31)], by: Caller = consumer
    ) -> Response:
        """The payload of a job that the caller has leased."""
        return _streamed(job_id, *await desk.run(desk.open_payload, job_id, attempt, by.name))

    @routes.get(
        "/jobs/{job_id}/output", tags=["jobs"], response_class=Response,
        responses={200: {"content": _RAW}, **told(401, 403, 404, 409, 410, 422, 503)},
    )  # fmt: skip
    async def output(job_id: JobId, by: Caller = reader) -> Response:
        """The output of a completed job, while it lies in the outbox."""
        return _streamed(job_id, *await desk.run(desk.open_output, job_id))


def _streamed(name: str, descriptor: int, size: int) -> Response:
    """Never shown as a page, whatever is in it."""
    headers = {
        "Content-Length": str(size), "Content-Disposition": f"attachment; filename={quote(name)}",
        "X-Content-Type-Options": "nosniff",
    }  # fmt: skip
    return StreamingResponse(_blocks(descriptor), headers=headers, media_type="application/octet-stream")


def _blocks(descriptor: int) -> Iterator[bytes]:
    with os.fdopen(descriptor, "rb") as file:
        yield from iter(partial(file.read, _BLOCK), b"")


# -------------------------------------------------------------------- the spool


def _add_listings(routes: APIRouter, desk: Desk, access: Access) -> None:
    viewer = Depends(access.needs(Role.VIEWER))

    @routes.get("/queues", tags=["spool"], responses=told(401, 403, 503))
    async def queues(by: Caller = viewer) -> Listed:
        """Every queue: whether it is paused, its jobs by state, its longest wait."""
        return Listed(items=await desk.run(_queues, desk))

    @routes.get("/consumers", tags=["spool"], responses=told(401, 403, 503))
    async def consumers(by: Caller = viewer) -> Listed:
        """Every consumer, and who leases to somebody outside: what each runs, and its last beat."""
        return Listed(items=await desk.run(_consumers, desk))


def _queues(desk: Desk) -> list[dict[str, Any]]:
    with desk.lock:
        found = report.queue_statuses(desk.app, desk.app.index.counts(), desk.app.clock.now())
    return [report.to_json(each) for each in found]


def _consumers(desk: Desk) -> list[dict[str, Any]]:
    with desk.lock:
        found = report.consumers(desk.app)
    return [report.to_json(each) for each in found]


def _add_state(routes: APIRouter, desk: Desk, access: Access) -> None:
    viewer = Depends(access.needs(Role.VIEWER))

    @routes.get("/stats", tags=["spool"], responses=told(401, 403, 503))
    async def stats(by: Caller = viewer) -> StatsShape:
        """The spool in figures."""
        return await desk.run(_stats, desk)

    @routes.get("/health", tags=["spool"], responses=told(401, 403, 503))
    async def state_of_health(by: Caller = viewer) -> Health:
        """What `pqfs status --check` says: alarms need a person."""
        return await desk.run(_health, desk)

    @routes.get("/ready", tags=["spool"], responses=told(503, 507))
    async def ready() -> Ready:
        """Whether jobs can be taken in and leased here now. Needs no key, and tells nothing else."""
        await desk.run(_check_ready, desk)
        return Ready(ready=True)


def _stats(desk: Desk) -> StatsShape:
    with desk.lock:
        told_ = report.to_json(report.overview(desk.app))
    return StatsShape.model_validate({name: told_[name] for name in StatsShape.model_fields})


def _health(desk: Desk) -> Health:
    with desk.lock:
        findings = health.examine(look(desk.app))
    alarms = health.alarms(findings)
    notices = [each for each in findings if each not in alarms]
    return Health(ok=not alarms, alarms=report.to_json(alarms), notices=report.to_json(notices))


def _check_ready(desk: Desk) -> None:
    with desk.lock:
        desk.app.index.queues()
    if desk.is_full():
        raise DiskFull("The spool's volume is below low water.")
