"""The cookie that outlives a reload: who gets one, what it is good for, and what ends it."""

from __future__ import annotations

import time

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from ui import cookie
from ui.store.access import Pass
from ui.store.sessions import LONGEST, Sessions, sessions

_HOME = "http://127.0.0.1:8501"
_ANN = Pass("ann", 1.0)


@pytest.fixture
def held() -> Sessions:
    """The sessions of this process, none yet."""
    sessions.forget()
    return sessions()


@pytest.fixture
def client() -> TestClient:
    """A browser at the console."""
    return TestClient(Starlette(routes=cookie.routes()), base_url=_HOME)


def _fetch(client: TestClient, ticket: str, origin: str | None = _HOME) -> int:
    headers = {cookie.TICKET: ticket} | ({"Origin": origin} if origin else {})
    code: int = client.post(cookie.PATH, headers=headers).status_code
    return code


def test_a_ticket_is_good_for_one_cookie_that_no_script_and_no_other_site_has(
    held: Sessions, client: TestClient
) -> None:
    key = held.begin(_ANN, time.monotonic())
    ticket = held.ticket(key, time.monotonic())

    answer = client.post(cookie.PATH, headers={cookie.TICKET: ticket, "Origin": _HOME})

    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said and "samesite=strict" in said and "pqfs-session-8501=" in said
    assert answer.headers["cache-control"] == "no-store"
    assert held.of_token(client.cookies["pqfs-session-8501"]) == key
    assert _fetch(client, ticket) == 403, "once"


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:8502", "https://127.0.0.1"]
)
def test_a_page_of_another_site_gets_nothing_and_uses_up_nothing(
    held: Sessions, client: TestClient, origin: str | None
) -> None:
    key = held.begin(_ANN, time.monotonic())
    ticket = held.ticket(key, time.monotonic())

    assert _fetch(client, ticket, origin) == 403
    assert client.delete(cookie.PATH, headers={"Origin": origin or ""}).status_code == 403
    assert _fetch(client, ticket) == 204
    assert held.find(key)


def test_links_and_forms_do_nothing(held: Sessions, client: TestClient) -> None:
    assert client.get(cookie.PATH).status_code == 405
    assert client.post(cookie.PATH, data={"ticket": "x"}, headers={"Origin": _HOME}).status_code == 403


def test_where_tls_is_spoken_the_cookie_never_goes_without(held: Sessions) -> None:
    client = TestClient(Starlette(routes=cookie.routes()), base_url="https://jobs.example.org")
    ticket = held.ticket(held.begin(_ANN, 0.0), time.monotonic())

    answer = client.post(cookie.PATH, headers={cookie.TICKET: ticket, "Origin": "https://jobs.example.org"})

    assert "secure" in answer.headers["set-cookie"].lower()


def test_a_forged_or_old_token_and_an_old_ticket_open_nothing(held: Sessions, client: TestClient) -> None:
    key = held.begin(_ANN, 0.0)

    assert held.of_token("") is None and held.of_token(key) is None and held.of_token("x" * 10_000) is None
    assert held.redeem(held.ticket(key, 0.0), 61.0) is None
    assert _fetch(client, "") == 403


def test_signing_out_ends_the_session_and_takes_the_cookie_back(held: Sessions, client: TestClient) -> None:
    key = held.begin(_ANN, time.monotonic())
    assert _fetch(client, held.ticket(key, time.monotonic())) == 204
    token = client.cookies["pqfs-session-8501"]

    assert client.delete(cookie.PATH, headers={"Origin": _HOME}).status_code == 204

    assert held.find(key) is None and held.of_token(token) is None
    assert not client.cookies


def test_a_session_that_is_over_gives_no_cookie_any_more(held: Sessions) -> None:
    key = held.begin(_ANN, 0.0)
    ticket, token = held.ticket(key, 0.0), held.redeem(held.ticket(key, 0.0), 0.0)
    assert token
    held.end(key)

    assert held.redeem(ticket, 0.0) is None
    assert held.of_token(token) is None


def test_no_token_lies_in_memory(held: Sessions) -> None:
    token = held.redeem(held.ticket(held.begin(_ANN, 0.0), 0.0), 0.0)

    assert token and token not in str({name: getattr(held, name) for name in vars(held)})


# -------------------------------------------------------------------- who is vouched for


def _comes(held: Sessions, at: float, began: float = 0.0) -> bool:
    return held.vouched("key", Pass("ann@example.org", 0.0, is_vouched=True), began, at, idle=1800.0)


def test_who_was_vouched_for_just_now_is_in_and_whoever_comes_late_is_not(held: Sessions) -> None:
    assert not _comes(held, 1801.0), "a new start of the console does not begin what has lapsed"
    assert _comes(held, 10.0)
    assert _comes(held, 1801.0), "seen before: whether it has lapsed says what was done since"
    session = held.find("key")
    assert session and not session.has_lapsed(1810.0, 1800.0) and session.has_lapsed(1811.0, 1800.0)
    assert session.has_lapsed(LONGEST + 1.0, 2 * LONGEST)


def test_a_word_of_a_provider_is_good_for_one_session(held: Sessions) -> None:
    assert _comes(held, 10.0)
    held.end("key")

    assert not _comes(held, 11.0)
