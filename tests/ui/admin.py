"""Somebody who is signed in: pages of the console, opened for him, and what he is asked before anything is done."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

from pqfs.passwords import Cost, Users
from tests.ui.pages import again, open_page, words
from tests.world import eventually

SECRET = "correct horse"
ADMIN_PAGES = ("submit", "try", "upkeep", "settings", "users", "audit")


def let_in(root: Path, name: str = "ann") -> None:
    """Give somebody a password, its hash cheap."""
    Users(root / "spool", Cost(n=16, r=1, p=1)).set_password(name, SECRET, 1.0)


def sign_in(page: AppTest, name: str = "ann", password: str = SECRET) -> AppTest:
    """Fill in the form of a page that asks who it is."""
    page.text_input("sign-in-name").input(name)
    page.text_input("sign-in-password").input(password)
    page.button("sign-in-do").click()
    return again(page)


def open_as_admin(root: Path, name: str, /, **query: str) -> AppTest:
    """A page, opened by somebody who is signed in: the session of another page is carried over."""
    let_in(root)
    signed = sign_in(open_page("sign-in"))
    page = open_page(name, _session={"signed-in": signed.session_state["signed-in"]}, **query)
    assert "Signed in as" in words(page)
    return page


def press(page: AppTest, key: str) -> AppTest:
    """Press a button."""
    page.button(key).click()
    return again(page)


def carry_out(page: AppTest, word: str = "", reason: str = "because") -> str:
    """Answer the question that is open, and wait for the report; what that says."""
    page.text_input("ask-reason").input(reason)
    if word:
        page.text_input("ask-word").input(word)
    press(page, "ask-do")
    eventually(lambda: "so far" not in words(again(page)), "it is done")
    assert "ask" not in page.session_state, words(page)
    return report(page)


def report(page: AppTest) -> str:
    """What the report above the page says."""
    shown = [*page.success, *page.warning, *page.error, *page.code]
    return "\n".join(str(each.value) for each in shown).replace("\\", "")
