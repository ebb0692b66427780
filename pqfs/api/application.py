"""The application: routes, problems, keys and a description of it all, around one desk."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from pqfs.api import figures, problems, resources, timing, work
from pqfs.api.access import Access
from pqfs.api.desk import Desk
from pqfs.api.problems import Problem
from pqfs.api.shapes import Enqueue, EnqueueForm, OutputForm
from pqfs.api.uploads import Bounds
from pqfs.keys import Keys

_SAID = (
    "Jobs in, jobs out: for producers and consumers that are no processes of this host. What ends an attempt names "
    "it, and whoever has lost its lease is told 409: throw the result away. Errors are problem+json."
)
_BY_HAND = (Problem, Enqueue, EnqueueForm, OutputForm)  # what routes refer to without FastAPI's knowing


def application(desk: Desk, keys: Keys) -> FastAPI:
    """The application on an opened desk, which stays the caller's to close."""
    app = FastAPI(
        title="pqfs", version=version("pqfs"), description=_SAID, generate_unique_id_function=_name,
        docs_url=None, redoc_url=None,  # they run what other hosts send, where everything may be allowed
    )  # fmt: skip
    limits = desk.app.settings.api
    bounds = Bounds(int(limits.max_body), limits.patience, desk.is_full)
    access = Access(keys)
    problems.install(app)
    app.include_router(work.router(desk, access, bounds))
    app.include_router(resources.router(desk, access))
    app.include_router(timing.router(desk, access))
    app.include_router(figures.router(desk, access))
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _name(route: APIRoute) -> str:
    """What clients that are made from the description call it."""
    return route.name


def _described(app: FastAPI) -> dict[str, Any]:
    """OpenAPI, with the shapes that routes name by hand."""
    if app.openapi_schema is None:
        told = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = told.setdefault("components", {}).setdefault("schemas", {})
        for shape in _BY_HAND:
            found = shape.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(found.pop("$defs", {}))
            schemas[shape.__name__] = found
        app.openapi_schema = told
    return app.openapi_schema
