"""Who are you? By name and password, or by a provider that vouches for people."""

from __future__ import annotations

import streamlit as st
from streamlit.errors import StreamlitAuthError

from ui.parts import session
from ui.parts.words import plain
from ui.store import access
from ui.store.access import Rules


def show() -> None:
    """The page."""
    st.title("Sign in", anchor=False)
    if name := session.who():
        st.success(f"You are signed in as {plain(name)}: what can be done stands on each page.")
        return
    if why := st.session_state.pop("signed-out", ""):
        st.info(why)
    rules = access.rules()
    if rules.problem:
        st.error(plain(f"Nobody can sign in by a password: {rules.problem}"), icon=":material/report:")
    if rules.has_vouchers:
        _by_provider()
    if rules.has_users:
        _by_password()
    elif not rules.has_vouchers and not rules.problem:
        st.warning("Nobody has a password yet, so this console shows and does not change. Set one on this host:")
        st.code(access.COMMAND, language=None)


def gate() -> None:
    """The only page of a console that other hosts reach, for who has not signed in."""
    if _is_shut(access.rules()):
        st.title("pqfs", anchor=False)
        st.error("Other hosts reach this console, so nobody is let in without a password, and `ops` asks for none.")
        st.caption("Let it listen at 127.0.0.1 only; or start it without `--only ops`.")
        return
    show()


def _is_shut(rules: Rules) -> bool:
    return rules.is_ops_only and not rules.problem


def _by_password() -> None:
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
    session.begin(answer.value)
    st.rerun()


def _by_provider() -> None:
    """The providers; and why the one that has vouched for who comes did not get him in."""
    known = access.vouchers()
    if known.value is None:
        st.error(plain(f"{known.problem} {known.hint}".strip()), icon=":material/report:")
        return
    if claims := session.vouched_claims():
        said = access.vouched(claims)
        why = f"{said.problem} {said.hint}".strip() or "That was some time ago. Sign in once more."
        st.warning(plain(why), icon=":material/lock:")
    for each in known.value:
        label = "Sign in by your provider" if len(known.value) == 1 else f"Sign in by {plain(each)}"
        if st.button(label, key=f"sign-in-by-{each}", type="primary", icon=":material/badge:"):
            _go_to(each)


def _go_to(provider: str) -> None:
    try:
        st.login(provider)
    except StreamlitAuthError as error:
        st.error(plain(f"The provider can not be asked: {' '.join(str(error).split())}"), icon=":material/report:")
