"""Who may do what in this console: it shows to who comes, and does what somebody asks who has signed in.

Asked of the file of users each time, so that a new password or a removed user ends sessions at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import streamlit as st

from pqfs.errors import PqfsError
from pqfs.passwords import Users
from pqfs.settings import Loaded
from pqfs.stack.browser import is_loopback
from ui.store.door import Answer, look_at, noted

COMMAND = "pqfs auth set-password"


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds in this console.

    `is_ops_only`: nobody signs in, nothing is changed. `is_exposed`: other hosts reach it, so nobody sees anything
    before he has signed in. `has_users`: somebody has a password.
    """

    is_ops_only: bool
    is_exposed: bool
    has_users: bool
    idle: float = 1800.0


@dataclass(frozen=True, slots=True)
class Pass:
    """Who has signed in, by the password of which instant."""

    name: str
    since: float


def rules() -> Rules:
    """The rules of now. Without settings that can be read nobody may do anything."""
    is_exposed = not is_loopback(st.get_option("server.address"))
    found = look_at(lambda loaded: _rules(loaded, is_exposed)).value
    return found or Rules(True, is_exposed, False)


def _rules(loaded: Loaded, is_exposed: bool) -> Rules:
    settings = loaded.settings
    return Rules(settings.ui_only == "ops", is_exposed, bool(_users(loaded).all(time.time())), settings.ui_idle)


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
    if loaded.settings.ui_only == "ops":
        raise PqfsError("This console shows and does not change: nobody signs in here.")
    users = _users(loaded)
    users.admit(name, password, time.time())
    return Pass(name, users.since(name) or 0.0)


def holds(known: Pass) -> bool:
    """Whether a pass still holds: the user is there, and has the same password."""
    return look_at(lambda loaded: _users(loaded).since(known.name) == known.since).value is True
