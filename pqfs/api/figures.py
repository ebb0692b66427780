"""All figures of the spool as text for Prometheus, at /metrics and /v1/metrics."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from pqfs import scrape
from pqfs.api.access import Access, Caller
from pqfs.api.desk import Desk
from pqfs.api.problems import told
from pqfs.exposition import OPENMETRICS, PROMETHEUS
from pqfs.keys import Role

_TEXT = {kind.partition(";")[0]: {"schema": {"type": "string"}} for kind in (PROMETHEUS, OPENMETRICS)}


def router(desk: Desk, access: Access) -> APIRouter:
    """The two routes."""
    routes, viewer = APIRouter(tags=["spool"]), Depends(access.needs(Role.VIEWER))
    described = {200: {"content": _TEXT}, **told(401, 403, 503)}

    @routes.get("/metrics", name="scrape", response_class=Response, responses=described)
    @routes.get("/v1/metrics", response_class=Response, responses=described)
    async def metrics(request: Request, by: Caller = viewer) -> Response:
        """What `pqfs metrics` prints; OpenMetrics for who accepts it."""
        openmetrics = scrape.wants_openmetrics(request.headers.get("accept"))
        return Response(await desk.run(_text, desk, openmetrics), media_type=scrape.content_type(openmetrics))

    return routes


def _text(desk: Desk, openmetrics: bool) -> str:
    with desk.lock:
        return scrape.of(desk.app, openmetrics)
