"""Who gets in: nobody without a password, nobody after too many failures, nobody for ever; and the half for all."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import streamlit as st
from streamlit import config
from streamlit.errors import StreamlitAuthError

from pqfs.index.audit import Audit, Question
from pqfs.passwords import TRIES, Users
from pqfs.wiring import App
from tests.ui.admin import ADMIN_PAGES, SECRET, let_in, open_as_admin, sign_in
from tests.ui.conftest import Fill
from tests.ui.pages import again, open_page, words
from ui.store.door import door
from ui.store.sessions import sessions

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["submit", "audit", "sign-in"])
def test_without_a_password_nothing_can_be_done_and_the_page_says_how_to_set_one(app: App, name: str) -> None:
    page = open_page(name)

    assert "pqfs auth set-password" in words(page)
    assert [each.key for each in page.text_input] == []


def test_nothing_can_be_done_by_who_has_not_signed_in(app: App, root: Path, job: Fill) -> None:
    made = job()
    let_in(root)

    for name in ("job", "jobs", "queues", "consumers", "dead", "rejected"):
        page = open_page(name, job=made.id) if name == "job" else open_page(name)
        keys = {each.key for each in page.button}
        assert not {key for key in keys if key and key.startswith(("act-", "queue-", "consumer-", "scale", "dead-"))}
    for name in ADMIN_PAGES:
        assert [each.value for each in open_page(name).title] == ["Sign in"]


def test_who_signs_in_comes_to_the_page_that_he_wanted_and_the_audit_knows(app: App, root: Path) -> None:
    let_in(root)

    page = sign_in(open_page("audit"))

    assert [each.value for each in page.title] == ["Audit trail"]
    events = Audit(app.index.engine).records(Question(), None, 10)
    assert [(each.actor, each.verb) for each in events] == [("console:ann", "sign in")]


def test_a_wrong_password_is_told_and_counted_and_too_many_lock(app: App, root: Path) -> None:
    let_in(root)
    page = open_page("sign-in")
    for left in range(TRIES - 1, 0, -1):
        said = words(sign_in(page, password="wrong"))
        assert f"Tries left: {left}" in said.replace("\\", "")

    assert "locked until" in words(sign_in(page, password="wrong"))
    assert "locked until" in words(sign_in(open_page("sign-in"))), "in another window, by the right password, too"
    assert Audit(app.index.engine).records(Question(verb="sign-in locked"), None, 1)


def test_hostile_names_and_passwords_are_answered_in_words(app: App, root: Path) -> None:
    let_in(root)
    page = open_page("sign-in")
    for name in ("**x**", "../../etc", "", "\0", "' OR 1=1"):
        assert "do not go together" in words(sign_in(page, name, name))
    assert not [each.value for each in page.markdown if "**x**" in str(each.value)]


def test_a_session_ends_when_nothing_is_done_for_long(app: App, root: Path) -> None:
    page = open_as_admin(root, "upkeep")
    sessions().touch(page.session_state["signed-in"], time.monotonic() - 1801.0)

    said = words(again(page))
    assert "nothing was done for long" in said
    assert "Sign in" in said and "signed-in" not in page.session_state


def test_a_session_ends_with_a_new_password_with_the_user_and_by_signing_out(app: App, root: Path) -> None:
    users = Users(root / "spool")
    page = open_as_admin(root, "upkeep")
    users.set_password("ann", SECRET, 2.0)
    assert "Your password has changed" in words(again(page))

    page = open_as_admin(root, "upkeep")
    users.remove("ann")
    assert "Your password has changed" in words(again(page))

    page = open_as_admin(root, "upkeep")
    page.button("sign-out").click()
    assert [each.value for each in again(page).title] == ["Sign in"]


def test_the_half_for_all_has_no_way_in(app: App, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_as_admin(root, "jobs")
    session = page.session_state["signed-in"]
    monkeypatch.setenv("PQFS_UI_ONLY", "ops")
    door.forget()

    page = open_page("jobs", _session={"signed-in": session})
    assert "Signed in" not in words(page)
    assert "choose" not in {each.key for each in page.toggle}
    assert [each.value for each in open_page("audit").title] != ["Audit trail"]


def test_where_other_hosts_can_come_nobody_sees_anything_before_he_has_signed_in(
    app: App, root: Path, job: Fill
) -> None:
    made = job(b"secret-name.txt")
    for address in (None, "0.0.0.0", "::"):
        config.set_option("server.address", address)
        said = "".join(words(open_page(name)) for name in ("", "jobs", "job"))
        assert "secret-name" not in said and made.id not in said
    assert "pqfs auth set-password" in said
    let_in(root)
    page = open_page("jobs")
    assert [each.value for each in page.title] == ["Sign in"]
    assert [each.value for each in sign_in(page).title] != ["Sign in"]


def test_the_half_for_all_is_shown_to_nobody_where_other_hosts_can_come(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PQFS_UI_ONLY", "ops")
    config.set_option("server.address", "0.0.0.0")

    assert "nobody is let in without a password" in words(open_page("jobs"))


# -------------------------------------------------------------------- by a provider


_SECRETS = """
[auth]
redirect_uri = "http://127.0.0.1:8501/oauth2callback"
cookie_secret = "0123456789abcdef0123456789abcdef"
client_id = "a"
client_secret = "b"
server_metadata_url = "http://127.0.0.1:1/"
"""


class _User:
    """What Streamlit says of who comes."""

    def __init__(self, **claims: object) -> None:
        self.claims = {"is_logged_in": True, "iat": time.time(), "sub": "1", "email_verified": True, **claims}

    def to_dict(self) -> dict[str, object]:
        """All of it."""
        return self.claims


@pytest.fixture
def vouching(app: App, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A console that a provider may vouch for people of example.org at."""
    pytest.importorskip("authlib")
    monkeypatch.setenv("PQFS_UI_OIDC", "*@example.org")
    (root / "spool" / "secrets.toml").write_text(_SECRETS)
    door.forget()
    return root


def test_who_is_vouched_for_is_in_and_the_audit_knows_the_address(
    vouching: Path, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(st, "user", _User(email="Ann@example.org"))

    assert "Signed in as **ann" in words(open_page("upkeep"))
    open_page("audit")
    events = Audit(app.index.engine).records(Question(), None, 10)
    assert [(each.actor, each.verb) for each in events] == [("console:ann@example.org", "sign in")], "once"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"email": "ann@example.com"}, "may not act here"),
        ({"email": "ann@example.org", "email_verified": False}, "verified address"),
        ({"email": "ann@example.org", "email_verified": "true"}, "verified address"),
        ({"email": "ann@example.org", "iat": None}, "verified address"),
        ({"email": "ann@example.org", "iat": time.time() - 3600.0}, "That was some time ago"),
        ({}, "verified address"),
    ],
)
def test_anybody_else_is_told_why_not(
    vouching: Path, monkeypatch: pytest.MonkeyPatch, claims: dict[str, object], said: str
) -> None:
    monkeypatch.setattr(st, "user", _User(**claims))

    page = open_page("upkeep")

    assert said in words(page).replace("\\", "") and [each.value for each in page.title] == ["Sign in"]
    assert page.button("sign-in-by-default")


def test_who_is_no_longer_admitted_is_out_at_once_and_a_word_begins_no_second_session(
    vouching: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(st, "user", _User(email="ann@example.org"))
    monkeypatch.setattr(st, "logout", lambda: None)
    page = open_page("upkeep")
    page.button("sign-out").click()
    again(page)
    assert "Signed in" not in words(open_page("upkeep")), "the browser's cookie is the same still"

    monkeypatch.setattr(st, "user", _User(email="bob@example.org", sub="2"))
    page = open_page("upkeep")
    monkeypatch.setenv("PQFS_UI_OIDC", "*@example.net")
    door.forget()
    assert "Signed in" not in words(again(page))


def test_a_provider_that_can_not_be_asked_is_told_in_words(vouching: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(provider: str) -> None:
        raise StreamlitAuthError("the keys are\n missing")

    monkeypatch.setattr(st, "login", refuse)
    page = open_page("sign-in")
    page.button("sign-in-by-default").click()
    assert "can not be asked: the keys are missing" in words(again(page)).replace("\\", "")

    (vouching / "spool" / "secrets.toml").unlink()
    assert "There is no secrets.toml" in words(open_page("sign-in")).replace("\\", "")


def test_a_spoilt_file_of_users_lets_nobody_in_and_says_so(app: App, root: Path) -> None:
    page = open_as_admin(root, "upkeep")
    (root / "spool" / "users.json").write_text("{")

    said = words(again(page)).replace("\\", "")

    assert "users.json can not be read" in said and "Put a copy back" in said
    assert "Signed in" not in said
