"""Who is asking, and what he may. A key comes in a header and nowhere else, so that no log and no history keeps it.

Without any key only this host is served, and everything is allowed to it. Then a page of a browser must not be able
to ask in its user's name: what says that it comes from another site, or calls us by a name that is not this host's,
is refused.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from pqfs.api.problems import Forbidden, Unauthorized
from pqfs.keys import Keys, Role

_BEARER = HTTPBearer(auto_error=False, description="A key that was made with `pqfs keys add`.")
_Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: the name of the key; None for this host, where there are no keys."""

    name: str | None

    @property
    def actor(self) -> str:
        """As the audit names him."""
        return f"api:{self.name}" if self.name else "api"


Dependency = Callable[..., Coroutine[Any, Any, Caller]]


class Access:
    """Decides about each request, by the keys as they are at that moment."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def needs(self, *roles: Role, key: bool = False) -> Dependency:
        """A dependency: whoever asks has a key that is good for one of these roles. `key`: this host needs one, too.

        Raises:
            Unauthorized: no key, or one that nobody knows. Forbidden: it is not good for this.
        """

        async def ask(request: Request, bearer: _Bearer) -> Caller:
            return self._caller(request, bearer.credentials if bearer else None, roles, key)

        return ask

    def _caller(self, request: Request, secret: str | None, roles: tuple[Role, ...], key: bool) -> Caller:
        secret = secret or request.headers.get("x-api-key")
        if not self._keys.all() and not key:
            _refuse_others(request)
            return Caller(None)
        found = self._keys.holder(secret) if secret else None
        if found is None:
            raise Unauthorized(
                "A key is needed." if secret is None else "Nobody knows this key.", "Make one: pqfs keys add NAME"
            )
        if not any(found.may(role) for role in roles):
            raise Forbidden(f"The key {found.name} is not good for this: it needs {' or '.join(roles)}.")
        return Caller(found.name)


def _refuse_others(request: Request) -> None:
    if request.client is None or not is_loopback(request.client.host):
        raise Unauthorized("Without keys only this host is served.", "Make one: pqfs keys add NAME")
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if not is_loopback(host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host):
        raise Forbidden(f"Without keys this host is served by its own name, and not as {host!r}.")
    if origin is not None and origin.partition("://")[2] != host:
        raise Forbidden("Without keys no page of another site is served.")


def is_loopback(host: str) -> bool:
    """Whether an address, or a name, is this host's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
