"""Who has signed in, in this window; for how long; and the page that asks for name and password."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import streamlit as st

from ui.parts.words import plain
from ui.store import access
from ui.store.access import Pass

_LONGEST = 12 * 3600.0  # seconds, however busy somebody is
_KEY = "signed-in"


@dataclass(frozen=True, slots=True)
class Session:
    """Since when somebody is signed in, and when he last did something (seconds of a clock that is never set)."""

    known: Pass
    began: float
    seen: float


def who() -> str | None:
    """Who is signed in; None when nobody is, or not any more."""
    session: Session | None = st.session_state.get(_KEY)
    if session is None:
        return None
    now, rules = time.monotonic(), access.rules()
    why = ""
    if rules.is_ops_only or not access.holds(session.known):
        why = "Your password has changed, or your name was removed."
    elif now - session.began > _LONGEST or now - session.seen > rules.idle:
        why = "You have been signed out, because nothing was done for long."
    if why:
        sign_out()
        st.session_state["signed-out"] = why
        return None
    return session.known.name


def touch() -> None:
    """Somebody has done something."""
    if who() is not None:
        st.session_state[_KEY] = replace(st.session_state[_KEY], seen=time.monotonic())


def sign_out() -> None:
    """End the session; what was asked and not said is dropped."""
    for key in (_KEY, "ask"):
        st.session_state.pop(key, None)


def controls() -> None:
    """In the sidebar: who is signed in, and the way out."""
    if name := who():
        st.caption(f"Signed in as **{plain(name)}**")
        st.button("Sign out", on_click=sign_out, key="sign-out", icon=":material/logout:")


def sign_in_page() -> None:
    """The page that asks who it is."""
    st.title("Sign in", anchor=False)
    if name := who():
        st.success(f"You are signed in as {plain(name)}: what can be done stands on each page.")
        return
    if why := st.session_state.pop("signed-out", ""):
        st.info(why)
    _form()


def _form() -> None:
    if not access.rules().has_users:
        st.warning("Nobody has a password yet, so this console shows and does not change. Set one on this host:")
        st.code(access.COMMAND, language=None)
        return
    with st.form("sign-in", width=420, enter_to_submit=True):
        name = st.text_input("Name", value="admin", max_chars=32, autocomplete="username", key="sign-in-name")
        password = st.text_input(
            "Password", type="password", max_chars=1000, autocomplete="current-password", key="sign-in-password"
        )
        if not st.form_submit_button("Sign in", type="primary", key="sign-in-do"):
            return
    answer = access.sign_in(name, password)
    if answer.value is None:
        st.error(plain(f"{answer.problem} {answer.hint}".strip()), icon=":material/lock:")
        return
    now = time.monotonic()
    st.session_state[_KEY] = Session(answer.value, now, now)
    st.rerun()


def gate() -> None:
    """The only page of a console that other hosts reach, for who has not signed in."""
    rules = access.rules()
    if rules.is_ops_only:
        st.title("pqfs", anchor=False)
        st.error("Other hosts reach this console, so nobody is let in without a password, and `ops` asks for none.")
        st.caption("Let it listen at 127.0.0.1 only; or start it without `--only ops`.")
        return
    sign_in_page()


def required(page: Callable[[], None]) -> Callable[[], None]:
    """A page for who has signed in; others are asked first, and come to it then."""

    def show() -> None:
        if who() is None:
            sign_in_page()
        else:
            page()

    return show
