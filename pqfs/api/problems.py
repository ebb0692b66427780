"""Every error as problem+json (RFC 9457): one table from errors to statuses, and how a route tells them."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from pqfs.errors import (
    ConsumerNotFound,
    Corrupt,
    DiskFull,
    IllegalTransition,
    JobNotFound,
    LeaseLost,
    Misconfigured,
    PqfsError,
    QueueFull,
    QueueNotFound,
    Refused,
    ScheduleNotFound,
    ScheduleTaken,
    Unavailable,
    explained,
)
from pqfs.events import trouble
from pqfs.outputs import NoOutput

MEDIA = "application/problem+json"
_SOON = {"Retry-After": "1"}
_DESCRIBED = "See: /openapi.json"


class Problem(BaseModel):
    """What went wrong: `title` is its kind, `detail` one clear sentence, `hint` what to do about it."""

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""


class Unauthorized(Refused):
    """Nobody knows who is asking."""


class Forbidden(Refused):
    """It is known who is asking, and he may not."""


class TooLarge(Refused):
    """More bytes than are taken."""


class TooSlow(Refused):
    """A body that did not arrive in time."""


class UnsupportedMedia(Refused):
    """A body of a kind that nobody reads."""


class NotYet(Refused):
    """It will be there when the job is further on."""


class Gone(Refused):
    """It was there, and is no longer kept."""


# The first that fits counts: what is below stands above what it is below of.
STATUSES: dict[type[PqfsError], int] = {
    Unauthorized: 401,
    Forbidden: 403,
    JobNotFound: 404,
    QueueNotFound: 404,
    ConsumerNotFound: 404,
    ScheduleNotFound: 404,
    ScheduleTaken: 409,
    TooSlow: 408,
    IllegalTransition: 409,
    LeaseLost: 409,
    NotYet: 409,
    Gone: 410,
    TooLarge: 413,
    UnsupportedMedia: 415,
    QueueFull: 429,
    Refused: 422,
    NoOutput: 422,
    DiskFull: 507,
    Unavailable: 503,
    Misconfigured: 500,
    Corrupt: 503,
    PqfsError: 500,
}
_WORDS = {
    400: "The request is malformed.", 401: "A key is needed.", 403: "The key is not good for this.",
    404: "There is no such job or queue.", 408: "The body did not arrive in time.",
    409: "The job is not in a state for this, or its lease is lost.", 410: "It is no longer kept.",
    413: "The body is larger than is taken.", 415: "A body of this kind is not read.",
    422: "A value is out of bounds, or can not be carried out.", 429: "The queue takes nothing more now.",
    503: "Something that is needed is not there just now.", 507: "The spool's volume is below low water.",
}  # fmt: skip


def status_of(error: PqfsError) -> int:
    """The status that an error is told with."""
    return next(status for kind, status in STATUSES.items() if isinstance(error, kind))


def told(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These problems as a route declares them."""
    body = {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _WORDS[status], "content": body} for status in statuses}


def answer(error: PqfsError) -> JSONResponse:
    """An error of ours as an answer."""
    status = status_of(error)
    headers = _SOON if status in (429, 503) else {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return _problem(status, type(error).__name__, str(error), error.hint, headers)


def _problem(
    status: int, kind: str, detail: str, hint: str = "", headers: dict[str, str] | None = None
) -> JSONResponse:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind)
    name = words.lower().replace(" ", "-")
    body = Problem(type=f"urn:pqfs:{name}", title=words, status=status, detail=_plain(detail), hint=_plain(hint))
    return JSONResponse(body.model_dump(), status, headers, MEDIA)


def _plain(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def install(app: FastAPI) -> None:
    """Have every error of an application told so."""
    app.add_exception_handler(PqfsError, _on_ours)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)


async def _on_ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PqfsError)
    return answer(error)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    said = [f"{'.'.join(map(str, each['loc'][1:])) or 'body'}: {each['msg']}" for each in error.errors()]
    return _problem(422, "Invalid", f"{'; '.join(said)}.", _DESCRIBED)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    match error.status_code:
        case 404:
            return _problem(404, "NothingThere", "There is nothing at this address.", _DESCRIBED, headers)
        case 405:
            allowed = ", ".join(_allowed(request))
            hint = f"It takes: {allowed}" if allowed else _DESCRIBED
            detail = f"This address does not take {request.method}."
            return _problem(405, "MethodNotTaken", detail, hint, {**headers, "Allow": allowed})
        case status:
            return _problem(status, "Request", f"{str(error.detail).rstrip('.')}.", _DESCRIBED, headers)


def _allowed(request: Request) -> list[str]:
    """Every method that this path has; the router knows only the first route that it fits."""
    told = request.app.openapi()["paths"].items()
    path = request.url.path
    fits = (methods for template, methods in told if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path))
    return sorted({method.upper() for methods in fits for method in methods})


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    known = explained(error)
    if known:
        return answer(known)
    trouble(f"answering {request.method} {request.url.path}")
    return _problem(500, "Bug", "This is a bug in pqfs, and is in its log.")
