"""Signing in by an identity provider (OpenID Connect): what the spool's secrets.toml says of it, and what it lacks.

Streamlit speaks to the provider. It reads the table `[auth]` of that file once, when the console starts: the address
to which the provider sends people back, the secret that signs their cookies, and one provider, or several, each as
a table of its own (`[auth.name]`). Whom a provider may vouch for says the setting `ui_oidc`.
"""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pqfs.errors import Misconfigured

FILE = "secrets.toml"
USUAL = "default"  # the name of a provider that has none
_OF_A_PROVIDER = ("client_id", "client_secret", "server_metadata_url")
_BACK = "/oauth2callback"
_SHORTEST = 32  # characters of the secret that signs cookies


@dataclass(frozen=True, slots=True)
class Identity:
    """The providers by name, and the host by whose name people reach the console."""

    providers: tuple[str, ...]
    host: str


def identity(spool: Path) -> Identity:
    """What the file says, if all that is needed is there.

    Raises:
        Misconfigured: it is not there, not TOML, lacks something, or Authlib is not installed.
    """
    auth = _table(spool / FILE)
    back, secret = str(auth.get("redirect_uri", "")), str(auth.get("cookie_secret", ""))
    if not back.endswith(_BACK) or not urlsplit(back).hostname:
        raise _wrong(f"redirect_uri is the console's own address with {_BACK} behind it")
    if len(secret) < _SHORTEST:
        raise _wrong(f"cookie_secret has at least {_SHORTEST} random characters")
    providers = tuple(_providers(auth))
    if not providers:
        raise _wrong(f"a provider has {', '.join(_OF_A_PROVIDER)}")
    if not all(importlib.util.find_spec(each) for each in ("authlib", "httpx")):
        raise Misconfigured("Signing in by a provider needs Authlib.", "pip install 'pqfs[ui-oidc]'")
    return Identity(providers, urlsplit(back).hostname or "")


def _table(path: Path) -> Mapping[str, Any]:
    try:
        found = tomllib.loads(path.read_text()).get("auth")
    except FileNotFoundError:
        raise Misconfigured(f"There is no {FILE} in the spool, so no provider is known.", _HINT) from None
    except (ValueError, OSError) as error:
        raise Misconfigured(f"{FILE} can not be read: {error}.", _HINT) from None
    if not isinstance(found, dict):
        raise _wrong("there is a table [auth]")
    return found


_HINT = "See the README: signing in by an identity provider."


def _wrong(what: str) -> Misconfigured:
    return Misconfigured(f"{FILE} of the spool does not fit: {what}.", _HINT)


def _providers(auth: Mapping[str, Any]) -> Iterator[str]:
    """Those that are whole: without a name first."""
    tables = {USUAL: auth, **{name: each for name, each in auth.items() if isinstance(each, dict)}}
    for name, table in tables.items():
        missing = [key for key in _OF_A_PROVIDER if not table.get(key)]
        if name != "client_kwargs" and len(missing) < len(_OF_A_PROVIDER):
            if missing:
                raise _wrong(f"provider {name} has {', '.join(missing)}, too")
            if "_" in name:
                raise _wrong(f"the name {name} has no _ in it")
            yield name
