"""The cookie that keeps somebody signed in through a reload: two routes beside Streamlit's give and take it.

No other site can have it: its pages are told by their `Origin`, neither route can be reached by a link or a form, the
cookie comes from this site's own pages only (SameSite=Strict), and no script can read it (HttpOnly). It does nothing
by itself: what somebody wants comes through Streamlit's websocket, which asks for the same origin, too.
"""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ui.store.sessions import sessions

PATH = "/session"
TICKET = "pqfs-ticket"  # a header that no form can send
_NAME = "pqfs-session"


def name(host: str) -> str:
    """What it is called: a host shares its cookies between all ports."""
    try:
        port = urlsplit(f"//{host}").port
    except ValueError:  # no browser says such a thing
        port = None
    return f"{_NAME}-{port or 0}"


def routes() -> list[Route]:
    """The two routes."""
    return [Route(PATH, _give, methods=["POST"]), Route(PATH, _take, methods=["DELETE"])]


async def _give(request: Request) -> Response:
    token = sessions().redeem(request.headers.get(TICKET, ""), time.monotonic()) if _is_ours(request) else None
    if token is None:
        return Response(status_code=403)
    response = _empty()
    response.set_cookie(
        _called(request), token, path="/", httponly=True, samesite="strict", secure=_is_secure(request)
    )
    return response


async def _take(request: Request) -> Response:
    if not _is_ours(request):
        return Response(status_code=403)
    if key := sessions().of_token(request.cookies.get(_called(request), "")):
        sessions().end(key)
    response = _empty()
    response.delete_cookie(_called(request), path="/", httponly=True, samesite="strict", secure=_is_secure(request))
    return response


def _is_ours(request: Request) -> bool:
    """Whether it comes from a page of ours: browsers say from which, and let no page say otherwise."""
    return bool(host := request.headers.get("host")) and urlsplit(request.headers.get("origin", "")).netloc == host


def _is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, with a proxy before us."""
    return request.headers.get("origin", "").startswith("https:")


def _called(request: Request) -> str:
    return name(request.headers["host"])


def _empty() -> Response:
    return Response(status_code=204, headers={"Cache-Control": "no-store"})
