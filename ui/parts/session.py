"""Who has signed in, in this browser; for how long; and how he comes in and goes out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from ui import cookie
from ui.parts.words import plain
from ui.store import access
from ui.store.access import Pass
from ui.store.sessions import sessions

_KEY = "signed-in"
_TICKET = "ticket"
_LEAVING = "leaving"
_TELLING = ("iss", "sub", "iat", "nonce")  # what tells one sign-in by a provider from every other


def who() -> str | None:
    """Who is signed in; None when nobody is, or not any more."""
    key = st.session_state.get(_KEY)
    if key is None:
        return None
    session, rules, now = sessions().find(key), access.rules(), time.monotonic()
    if session is None:
        why = "You have signed out in another window."
    elif rules.is_ops_only or not access.holds(session.known):
        why = "Your password has changed, or your name was removed."
    elif session.has_lapsed(now, rules.idle):
        why = "You have been signed out, because nothing was done for long."
    else:
        return session.known.name
    _end(key)
    st.session_state["signed-out"] = why
    return None


def begin(known: Pass) -> None:
    """Somebody has said who he is. His browser is given a ticket for the cookie that outlives a reload."""
    now = time.monotonic()
    key = st.session_state[_KEY] = sessions().begin(known, now)
    st.session_state[_TICKET] = sessions().ticket(key, now)


def resume() -> None:
    """At each run of a page: know again who has reloaded it, or comes from his provider. He has done something."""
    if _KEY not in st.session_state and (key := _by_cookie() or _by_provider()):
        st.session_state[_KEY] = key
    if who() is not None:
        sessions().touch(st.session_state[_KEY], time.monotonic())


def _by_cookie() -> str | None:
    """The session of the token that this window came with."""
    called = cookie.name(str(st.context.headers.get("host", "")))
    return sessions().of_token(str(st.context.cookies.get(called, "")))


def _by_provider() -> str | None:
    """A session of somebody whom a provider vouches for. One that is over does not begin again."""
    rules = access.rules()
    if not rules.has_vouchers or not (claims := vouched_claims()):
        return None
    known = access.vouched(claims).value
    if known is None:
        return None
    key = hashlib.sha256(json.dumps([claims.get(each) for each in _TELLING], default=str).encode()).hexdigest()
    now, is_new = time.monotonic(), sessions().find(key) is None
    if not sessions().vouched(key, known, now - max(0.0, time.time() - known.since), now, rules.idle):
        return None
    if is_new:
        access.note_sign_in(known)
    return key


def vouched_claims() -> Mapping[str, Any]:
    """What a provider has said of who comes; Streamlit keeps it in a cookie of its own, and has verified it."""
    claims: Mapping[str, Any] = st.user.to_dict()
    return claims if claims.get("is_logged_in") is True else {}


# -------------------------------------------------------------------- out again


def sign_out() -> None:
    """End the session, in all windows of this browser; what was asked and not said is dropped."""
    if (key := st.session_state.get(_KEY)) is not None:
        _end(key)
    st.session_state[_LEAVING] = True


def _end(key: str) -> None:
    sessions().end(key)
    for each in (_KEY, _TICKET, "ask"):
        st.session_state.pop(each, None)


def errands() -> None:
    """What only the browser can do: fetch its cookie, and give it back. It is told as long as it has not done so."""
    ticket = st.session_state.get(_TICKET)
    if ticket and sessions().is_open(ticket, time.monotonic()):
        _ask_for("POST", {cookie.TICKET: ticket})
    else:
        st.session_state.pop(_TICKET, None)
    if st.session_state.pop(_LEAVING, False):
        _ask_for("DELETE", {})
        if access.rules().has_vouchers and vouched_claims():
            st.logout()


def _ask_for(method: str, headers: dict[str, str]) -> None:
    """A request of the page's own. What stands in it is ours: a path and random digits."""
    asked = json.dumps({"method": method, "headers": headers})
    st.html(f"<script>fetch({json.dumps(cookie.PATH)}, {asked})</script>", unsafe_allow_javascript=True)


def controls() -> None:
    """In the sidebar: who is signed in, and the way out."""
    if name := who():
        st.caption(f"Signed in as **{plain(name)}**")
        st.button("Sign out", on_click=sign_out, key="sign-out", icon=":material/logout:")


def required(page: Callable[[], None], otherwise: Callable[[], None]) -> Callable[[], None]:
    """A page for who has signed in; others are asked first, and come to it then."""

    def show() -> None:
        if who() is None:
            otherwise()
        else:
            page()

    return show
