"""Schedules over HTTP, under /v1: what is due when, and what operators do about it.

A payload is a text: a file of this host is named by who works on this host (`pqfs schedule add`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query
from fastapi import Path as InPath

from pqfs import schedules
from pqfs.api.access import Access, Caller
from pqfs.api.desk import Desk
from pqfs.api.problems import told
from pqfs.api.shapes import Enqueued, Listed, Removed, ScheduleName, ScheduleShape, ScheduleWish
from pqfs.errors import Misconfigured, Refused
from pqfs.firing import Firing
from pqfs.index.schedulerows import Schedule
from pqfs.keys import Role
from pqfs.schedules import Plan, Schedules

Name = Annotated[ScheduleName, InPath()]
Why = Annotated[str | None, Query(max_length=1000)]
_PROBLEMS = (401, 403, 404, 422, 503)
_Answer = TypeVar("_Answer")


def router(desk: Desk, access: Access) -> APIRouter:
    """The routes, below /v1."""
    routes = APIRouter(prefix="/v1/schedules", tags=["schedules"])
    _add_keeping(routes, desk, access)
    _add_acts(routes, desk, access)
    return routes


def _add_keeping(routes: APIRouter, desk: Desk, access: Access) -> None:
    viewer, operator = Depends(access.needs(Role.VIEWER)), Depends(access.needs(Role.OPERATOR))

    @routes.get("", responses=told(401, 403, 503))
    async def list_schedules(by: Caller = viewer) -> Listed:
        """Every schedule: when it is due next, when it was last, and what became of that."""
        return Listed(items=await desk.run(_listed, desk))

    @routes.post("", responses=told(400, *_PROBLEMS, 409))
    async def add_schedule(wish: ScheduleWish, by: Caller = operator) -> ScheduleShape:
        """Have a job made at each due time, once, whoever dies."""
        return await desk.run(_added, desk, wish, by.actor)

    @routes.delete("/{name}", responses=told(*_PROBLEMS))
    async def remove_schedule(name: Name, reason: Why = None, by: Caller = operator) -> Removed:
        """Forget a schedule. The jobs that it has made stay."""
        await desk.run(_steered, desk, lambda it, now: it.remove(name, by.actor, reason, now))
        return Removed(message=f"Schedule {name} removed")


def _add_acts(routes: APIRouter, desk: Desk, access: Access) -> None:
    operator = Depends(access.needs(Role.OPERATOR))

    @routes.post("/{name}/run", responses=told(*_PROBLEMS, 429, 507))
    async def run_schedule(name: Name, reason: Why = None, by: Caller = operator) -> Enqueued:
        """Make a job of it now; its due times stay as they are."""
        job = await desk.run(_run, desk, name, by.actor, reason)
        return Enqueued(message="Job enqueued", job_id=job, job_ids=[job])

    @routes.post("/{name}/pause", responses=told(*_PROBLEMS))
    async def pause_schedule(name: Name, reason: Why = None, by: Caller = operator) -> ScheduleShape:
        """Let its due times pass without a job."""
        return await _shown(desk, lambda it, now: it.pause(name, by.actor, reason, now))

    @routes.post("/{name}/resume", responses=told(*_PROBLEMS, 409))
    async def resume_schedule(name: Name, reason: Why = None, by: Caller = operator) -> ScheduleShape:
        """Go on with the next due time; what passed meanwhile is not made up for."""
        return await _shown(desk, lambda it, now: it.resume(name, by.actor, reason, now))


async def _shown(desk: Desk, act: Callable[[Schedules, float], Schedule]) -> ScheduleShape:
    return _shape(desk, await desk.run(_steered, desk, act))


def _listed(desk: Desk) -> list[dict[str, Any]]:
    with desk.lock:
        return schedules.listed(desk.app.index)


def _added(desk: Desk, wish: ScheduleWish, actor: str) -> ScheduleShape:
    plan = Plan(
        wish.cron, wish.zone, None, wish.text, wish.job_name, wish.queue, wish.priority, wish.missed, wish.jitter
    )
    return _shape(desk, _steered(desk, lambda it, now: it.add(wish.name, plan, actor, wish.reason, now)))


def _steered(desk: Desk, act: Callable[[Schedules, float], _Answer]) -> _Answer:
    """What was asked for can be wrong, as on a command line: that is the caller's, and no fault of this host."""
    try:
        with desk.lock:
            return act(Schedules(desk.app.jobqueue), desk.app.clock.now())
    except Misconfigured as error:
        raise Refused(error.message, error.hint) from error


def _run(desk: Desk, name: str, actor: str, reason: str | None) -> str:
    with desk.lock:
        return Firing(desk.app.jobqueue, desk.app.clock).run(name, actor, reason).id


def _shape(desk: Desk, row: Schedule) -> ScheduleShape:
    with desk.lock:
        return ScheduleShape.model_validate(schedules.told_of(desk.app.index, row))
