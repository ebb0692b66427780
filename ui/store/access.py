"""Who may do what in this console: it shows to who comes, and does what somebody asks who has signed in.

Asked of the file of users, or of the setting `ui_oidc`, each time, so that a new password or a removed user ends
sessions at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pqfs.admission import admits
from pqfs.errors import PqfsError
from pqfs.passwords import Users
from pqfs.settings import Loaded
from pqfs.stack.browser import is_loopback
from pqfs.stack.identity import identity
from ui.store.door import Answer, answered, look_at, noted

COMMAND = "pqfs auth set-password"


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds in this console.

    `is_ops_only`: nobody signs in, nothing is changed. `is_exposed`: other hosts reach it, so nobody sees anything
    before he has signed in. `has_users`: somebody has a password. `has_vouchers`: a provider may vouch for people.
    `problem`: why nobody can be let in by a password, although there is a file of users.
    """

    is_ops_only: bool
    is_exposed: bool
    has_users: bool
    idle: float = 1800.0
    has_vouchers: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Pass:
    """Who has signed in: by the password of which instant, or (`is_vouched`) since a provider said who he is."""

    name: str
    since: float
    is_vouched: bool = False


def rules() -> Rules:
    """The rules of now. Without settings that can be read nobody may do anything."""
    is_exposed = not is_loopback(st.get_option("server.address")) or not all(
        map(is_loopback, st.get_option("server.allowedHosts") or ())
    )
    found = look_at(lambda loaded: _rules(loaded, is_exposed)).value
    return found or Rules(True, is_exposed, False)


def _rules(loaded: Loaded, is_exposed: bool) -> Rules:
    settings = loaded.settings
    users = answered(lambda: bool(_users(loaded).all(time.time())))
    return Rules(
        settings.ui_only == "ops", is_exposed, bool(users.value), settings.ui_idle, bool(settings.ui_oidc),
        f"{users.problem} {users.hint}".strip(),
    )  # fmt: skip


def _users(loaded: Loaded) -> Users:
    return Users(loaded.settings.spool)


def sign_in(name: str, password: str) -> Answer[Pass]:
    """Let somebody in by name and password; a failure is counted, and a name locked after some."""
    answer = look_at(lambda loaded: _sign_in(loaded, name.strip(), password))
    if answer.value is not None:
        noted(f"console:{answer.value.name}", "sign in")
    elif "locked" in answer.problem:
        noted("console", "sign-in locked", after=name.strip()[:32])
    return answer


def _sign_in(loaded: Loaded, name: str, password: str) -> Pass:
    _refuse_ops(loaded)
    users = _users(loaded)
    users.admit(name, password, time.time())
    return Pass(name, users.since(name) or 0.0)


def _refuse_ops(loaded: Loaded) -> None:
    if loaded.settings.ui_only == "ops":
        raise PqfsError("This console shows and does not change: nobody signs in here.")


def holds(known: Pass) -> bool:
    """Whether a pass still holds: the user has the same password, or the address is still one of those admitted."""
    return look_at(lambda loaded: _holds(loaded, known)).value is True


def _holds(loaded: Loaded, known: Pass) -> bool:
    if known.is_vouched:
        return admits(loaded.settings.ui_oidc, known.name)
    return _users(loaded).since(known.name) == known.since


# -------------------------------------------------------------------- by a provider


def vouchers() -> Answer[tuple[str, ...]]:
    """The providers that may say who somebody is; a problem where what is known of them is not enough."""
    return look_at(lambda loaded: identity(loaded.settings.spool).providers)


def vouched(claims: Mapping[str, Any]) -> Answer[Pass]:
    """Who comes, as a provider says; a problem, in words, where that lets nobody in. `claims` have been verified."""
    return look_at(lambda loaded: _vouched(loaded, claims))


def _vouched(loaded: Loaded, claims: Mapping[str, Any]) -> Pass:
    _refuse_ops(loaded)
    email, issued = str(claims.get("email") or ""), claims.get("iat")
    if not email or claims.get("email_verified") is not True or not isinstance(issued, int | float):
        raise PqfsError(f"The provider does not say that {email or 'you'} can be reached at a verified address.")
    if not admits(loaded.settings.ui_oidc, email):
        raise PqfsError(f"{email} may not act here.", "Whom a provider may vouch for says the setting ui_oidc.")
    return Pass(email.lower(), float(issued), is_vouched=True)


def note_sign_in(known: Pass) -> None:
    """Tell the audit that somebody came in."""
    noted(f"console:{known.name}", "sign in", after="by a provider" if known.is_vouched else None)
