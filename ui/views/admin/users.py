"""Users: who may sign in, and their passwords."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ui.parts import dialog, links, session
from ui.parts.dialog import Act
from ui.parts.live import told
from ui.parts.table import table
from ui.parts.words import plain, when
from ui.store import upkeep
from ui.store.undertakings import Author
from ui.store.upkeep import User


def show() -> None:
    """The page."""
    st.title("Users", anchor=False)
    above = st.container()
    left, right = st.columns(2, gap="large")
    with left:
        _password()  # before the list, which is to show what it does
    answer = upkeep.users()
    if not told(answer) or answer.value is None:
        return
    with above:
        _list(answer.value)
    with right:
        _remove([each.name for each in answer.value])
    links.command("pqfs auth set-password")


def _list(found: list[User]) -> None:
    rows = [
        (
            plain(each.name), when(each.since), str(each.failures),
            f":red[✗ until {when(each.locked_until)}]" if each.locked_until else "no",
        )
        for each in found
    ]  # fmt: skip
    table(("name", "password set (UTC)", "failures since", "locked"), rows, "Nobody may sign in.", "Users")


def _password() -> None:
    st.subheader("Set a password", anchor=False)
    st.caption(f"Of a new name, or of one that is there. At least {upkeep.SHORTEST} characters.")
    with st.form("password", clear_on_submit=True):
        name = st.text_input("Name", max_chars=32, key="user-name")
        first = st.text_input("Password", type="password", max_chars=1000, key="user-password")
        again = st.text_input("Once more", type="password", max_chars=1000, key="user-again")
        if not st.form_submit_button("Set", key="user-set"):
            return
    who = session.who()
    if first != again or who is None:
        st.error("The two are not the same. Nothing was changed.", icon=":material/edit:")
        return
    answer = upkeep.set_password(name, first, Author(who))
    if answer.value is None:
        st.error(plain(f"{answer.problem} {answer.hint}".strip()), icon=":material/edit:")
    else:
        st.success(f"{plain(name)} may sign in by this password.")


def _remove(names: list[str]) -> None:
    st.subheader("Remove a user", anchor=False)
    name = st.selectbox("Who", names, key="user-gone")
    if st.button("Remove", key="user-remove", disabled=name is None):
        dialog.ask("Remove a user", partial(_draw, name), "Remove")


def _draw(name: str) -> Act:
    st.markdown(f"{plain(name)} may sign in no more; open sessions end.")
    return partial(upkeep.remove_user, name)
