"""The routes of producers, consumers and operators: work in, work out. Each is one verb of the desk."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel, ValidationError

from pqfs import naming, tracing
from pqfs.api import uploads
from pqfs.api.access import Access, Caller
from pqfs.api.desk import Desk, Resubmitted
from pqfs.api.problems import UnsupportedMedia, told
from pqfs.api.shapes import (
    JOB,
    JOB_ID,
    Ended,
    Enqueue,
    Enqueued,
    Extended,
    Leased,
    QueueName,
    ResubmitAll,
    ResubmitDone,
    ResubmitThese,
    Skipped,
    Wished,
)
from pqfs.api.uploads import Bounds, Form
from pqfs.clock import iso
from pqfs.dequeuer import Held
from pqfs.duplicates import SET
from pqfs.errors import Refused
from pqfs.keys import Role
from pqfs.model import Kind
from pqfs.submission import Wish

JobId = Annotated[str, InPath(pattern=JOB_ID, examples=[JOB])]
Attempt = Annotated[
    int | None, Query(ge=1, le=2**31, description="The lease; by default the one that the caller has.")
]
Seconds = Annotated[float | None, Query(ge=1, le=86400, description="Seconds; by default `consume.lease`.")]
_JSON = 1 << 24  # bytes of a body that is held in memory
_INLINE = 1 << 16  # bytes of a payload that is told in the answer
_ERROR = 2000  # characters
_MULTIPART = "multipart/form-data"
_KEPT = {
    "model": Enqueued,
    "description": "It is durable, and is a job once the index can be written: do not send it again.",
}
_ANY = {"schema": {"type": "string", "format": "binary"}}


def router(desk: Desk, access: Access, bounds: Bounds) -> APIRouter:
    """The routes, below no prefix: earlier clients know them so."""
    routes = APIRouter()
    _add_producing(routes, desk, access, bounds)
    _add_leasing(routes, desk, access)
    _add_ending(routes, desk, access, bounds)
    _add_operating(routes, desk, access)
    return routes


def _leads_to(*operations: str, **parameters: str) -> dict[str, Any]:
    """What can be done with the job of an answer, as OpenAPI's links."""
    told_ = {"job_id": "$response.body#/job_id", **parameters}
    return {"links": {each: {"operationId": each, "parameters": told_} for each in operations}}


# -------------------------------------------------------------------- producers


def _add_producing(routes: APIRouter, desk: Desk, access: Access, bounds: Bounds) -> None:
    body = {
        "application/json": {"schema": {"$ref": "#/components/schemas/Enqueue"}},
        _MULTIPART: {"schema": {"$ref": "#/components/schemas/EnqueueForm"}},
    }
    caller = Depends(access.needs(Role.PRODUCER))

    @routes.post(
        "/enqueue/", tags=["producers"],
        responses={200: _leads_to("job"), 202: _KEPT, **told(401, 403, 404, 408, 413, 415, 422, 429, 503, 507)},
        openapi_extra={"requestBody": {"required": True, "content": body}},
    )  # fmt: skip
    async def enqueue(request: Request, response: Response, by: Caller = caller) -> Enqueued:
        """Make a job of JSON, or of each file of a form. Once this answers, the job survives anything.

        202: it is kept, and is a job under this id once the index can be written. After 503 nothing is, where no hint
        says otherwise; with a `key` it may be sent again in any case.
        """
        tray = _Tray(desk)
        try:
            names, wish = await _received(request, bounds, tray)
            wish = replace(wish, ready_at=wish.ready_at and desk.app.clock.now() + wish.ready_at)
            wish = _traced(wish, request)
            if len(names) > 1 and await desk.run(desk.takes_sets, wish.queue):
                names, wish = await tray.bundled(names, wish)
            entered = await desk.run(desk.enqueue, tray.named(names), wish, by.actor)
        finally:
            await tray.empty()
        jobs, what = entered.jobs, "Job" if len(entered.jobs) == 1 else "Jobs"
        response.status_code = 200 if entered.are_jobs else 202
        return Enqueued(message=f"{what} {'enqueued' if entered.are_jobs else 'kept'}", job_id=jobs[0], job_ids=jobs)


class _Tray:
    """What one request stages: the ids of the jobs to be, and where their payloads lie."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._begun: list[tuple[str, Path]] = []
        self._bundle: tuple[str, Path] | None = None

    async def place(self) -> Path:
        """Where the next payload is to be written."""
        self._begun.append(await self.desk.run(self.desk.begin))
        return self._begun[-1][1]

    async def bundled(self, names: list[str], wish: Wish) -> tuple[list[str], Wish]:
        """Make one payload of all that is there: its name, and what is wished of it."""
        self._bundle = await self.desk.run(self.desk.begin)
        paths = [path for _, path in self._begun]
        await self.desk.run(self.desk.bundle, list(zip(names, paths, strict=True)), self._bundle[1])
        return [f"{names[0]}.tar"], replace(wish, options={**(wish.options or {}), SET: {}})

    def named(self, names: list[str]) -> list[tuple[str, str]]:
        """The jobs to be, by id and name."""
        begun = [self._bundle] if self._bundle else self._begun
        return [(job, name) for (job, _), name in zip(begun, names, strict=True)]

    async def empty(self) -> None:
        """Remove what has not become a job."""
        for _, path in [*self._begun, *([self._bundle] if self._bundle else [])]:
            await self.desk.run(self.desk.discard, path)


def _traced(wish: Wish, request: Request) -> Wish:
    """With the W3C trace context of the request's headers, in the metadata."""
    options = wish.options or {}
    metadata = tracing.heard(options.get("metadata"), request.headers)
    return replace(wish, options={**options, "metadata": metadata}) if metadata else wish


async def _received(request: Request, bounds: Bounds, tray: _Tray) -> tuple[list[str], Wish]:
    """The payloads, written to the tray; their names and what is wished. `ready_at` is still the delay."""
    media, path = uploads.media_of(request), await tray.place()
    if media == _MULTIPART:
        form = await uploads.save_form(request, path, bounds, tray.place)
        return _of_form(form)
    if media != "application/json":
        raise UnsupportedMedia(f"A body of the kind {media or 'none'} is not read.", "Send JSON, or a form.")
    wished = _parsed(Enqueue, await uploads.read_small(request, bounds, _JSON))
    data = wished.job_data
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    await tray.desk.run(path.write_bytes, text.encode())
    usual = "payload.txt" if isinstance(data, str) else "payload.json"
    return [wished.name or usual], _wish(wished, wished.metadata)


def _of_form(form: Form) -> tuple[list[str], Wish]:
    wished = _checked(Wished, form.fields)
    names = [name.replace("\\", "/").rpartition("/")[2] for name in form.filenames]
    names = [name if name.strip(".") else "payload.bin" for name in names]
    if wished.name and len(names) > 1:
        raise Refused("One name can not be that of several files.", "Name each file of the form.")
    return [wished.name] if wished.name else names, _wish(wished, None)


def _wish(wished: Wished, metadata: dict[str, Any] | None) -> Wish:
    options = {"metadata": metadata} if metadata else None
    return Wish(wished.queue, wished.priority, wished.delay, wished.key, options, once=wished.key is not None)


_Shape = TypeVar("_Shape", bound=BaseModel)


def _parsed(shape: type[_Shape], data: bytes) -> _Shape:
    try:
        return shape.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise _refusal(error) from error


def _checked(shape: type[_Shape], fields: dict[str, str]) -> _Shape:
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> Refused:
    said = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()]
    return Refused(f"The body does not fit: {'; '.join(said[:5])}.", "See: /openapi.json")


# -------------------------------------------------------------------- consumers


def _add_leasing(routes: APIRouter, desk: Desk, access: Access) -> None:
    caller = Depends(access.needs(Role.CONSUMER))

    @routes.get(
        "/dequeue/", tags=["consumers"], response_model=Leased,
        responses={
            200: _leads_to("mark_done", "mark_failed", "extend", "payload", attempt="$response.body#/attempt"),
            204: {"description": "There is none."}, **told(401, 403, 404, 422, 503, 507),
        },
    )  # fmt: skip
    async def dequeue(queue: QueueName = "default", lease: Seconds = None, by: Caller = caller) -> Any:
        """Lease the next job of a queue to the caller. It is given back when the lease ends: extend it in time."""
        held = await desk.run(desk.lease, queue, lease or desk.app.settings.consume.lease, by.name)
        return Response(status_code=204) if held is None else await desk.run(_leased, desk, held)

    @routes.post("/extend/{job_id}", tags=["consumers"], responses=told(401, 403, 404, 409, 422, 503))
    async def extend(
        job_id: JobId, attempt: Attempt = None, seconds: Seconds = None, by: Caller = caller
    ) -> Extended:
        """Let a lease end so many seconds from now, at most when the queue's timeout is over."""
        asked = seconds or desk.app.settings.consume.lease
        held = await desk.run(desk.extend, job_id, attempt, asked, by.name)
        return Extended(job_id=job_id, attempt=held.job.attempt, lease_end=iso(desk.dequeuer.end_of(held)))


def _leased(desk: Desk, held: Held) -> Leased:
    job = held.job
    path = desk.dequeuer.payload(held)
    return Leased(
        job_id=job.id, attempt=job.attempt, queue=job.queue, name=naming.printable(job.name), size=job.size,
        lease_end=iso(desk.dequeuer.end_of(held)), metadata=(job.options or {}).get("metadata", {}),
        is_set=SET in (job.options or {}),
        payload=_short_text(path) if job.size <= _INLINE else None,
        payload_url=f"/v1/jobs/{job.id}/payload?attempt={job.attempt}",
    )  # fmt: skip


def _short_text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode()
    except (UnicodeDecodeError, OSError):
        return None


def _add_ending(routes: APIRouter, desk: Desk, access: Access, bounds: Bounds) -> None:
    caller = Depends(access.needs(Role.CONSUMER))
    problems = told(401, 403, 404, 408, 409, 413, 415, 422, 503, 507)
    output = {"application/octet-stream": _ANY, _MULTIPART: {"schema": {"$ref": "#/components/schemas/OutputForm"}}}
    words = {"text/plain": {"schema": {"type": "string", "maxLength": _ERROR}}}

    @routes.post(
        "/mark_done/{job_id}", tags=["consumers"], responses=problems,
        openapi_extra={"requestBody": {"required": False, "content": output}},
    )  # fmt: skip
    async def mark_done(request: Request, job_id: JobId, attempt: Attempt = None, by: Caller = caller) -> Ended:
        """Publish the body, or the file of a form, as the output, and end the job. Repeated, it answers the same."""
        held = await desk.run(desk.find_lease, job_id, attempt, by.name, Kind.DONE)
        if held:
            async with _staged(desk) as (staged, path):
                if uploads.media_of(request) == _MULTIPART:
                    await uploads.save_form(request, path, bounds)
                else:
                    await uploads.save(request, path, bounds)
                await desk.run(desk.complete, held, staged)
        return await desk.run(_ended, desk, job_id, "Job done")

    @routes.post(
        "/mark_failed/{job_id}", tags=["consumers"], responses=problems,
        openapi_extra={"requestBody": {"required": False, "content": words}},
    )  # fmt: skip
    async def mark_failed(
        request: Request, job_id: JobId, attempt: Attempt = None, permanent: bool = False, by: Caller = caller
    ) -> Ended:
        """Say that the attempt failed, and why: the job is retried as its queue says, or, `permanent`, never."""
        said = await uploads.read_small(request, bounds, 4 * _ERROR)
        kind = Kind.PERMANENT if permanent else Kind.FAILED
        held = await desk.run(desk.find_lease, job_id, attempt, by.name, kind)
        if held:
            error = said.decode(errors="replace")[:_ERROR].strip() or "its consumer gave no reason"
            await desk.run(desk.give_up, held, kind, error)
        return await desk.run(_ended, desk, job_id, "Job failed")


@asynccontextmanager
async def _staged(desk: Desk) -> AsyncIterator[tuple[str, Path]]:
    """A place for an output, gone afterwards whatever comes."""
    staged, path = await desk.run(desk.stage)
    try:
        yield staged, path
    finally:
        await desk.run(desk.discard, path)


def _ended(desk: Desk, job_id: str, message: str) -> Ended:
    job = desk.job(job_id)
    return Ended(message=message, job_id=job.id, state=job.state, attempt=job.attempt, output=job.output)


# -------------------------------------------------------------------- operators


def _add_operating(routes: APIRouter, desk: Desk, access: Access) -> None:
    operator, by_key = Depends(access.needs(Role.OPERATOR)), Depends(access.needs(Role.OPERATOR, key=True))
    problems = told(400, 401, 403, 404, 422, 503)

    @routes.post("/admin/resubmit", tags=["operators"], responses=problems)
    async def resubmit(wanted: ResubmitThese | ResubmitAll, by: Caller = operator) -> ResubmitDone:
        """Let jobs that failed for good wait again: these, or all of them."""
        if isinstance(wanted, ResubmitThese):
            return _resubmitted(await desk.run(desk.resubmit, wanted.jobs, None, by.actor, wanted.reason))
        return _resubmitted(await desk.run(desk.resubmit, None, wanted.queue, by.actor, wanted.reason))

    @routes.get("/admin/resubmit", tags=["operators"], responses=problems, deprecated=True)
    async def resubmit_all(by: Caller = by_key) -> ResubmitDone:
        """The same for all, as earlier clients ask for it. Always needs a key, in a header."""
        return _resubmitted(await desk.run(desk.resubmit, None, None, by.actor, None))


def _resubmitted(done: Resubmitted) -> ResubmitDone:
    skipped = [Skipped(job_id=job, reason=reason) for job, reason in done.skipped]
    return ResubmitDone(message=f"{done.count} jobs resubmitted", resubmitted=done.count, skipped=skipped)
