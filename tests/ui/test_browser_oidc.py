"""Signing in by an identity provider, as a person does: a real browser, a console, a provider of our own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.browsing import free_port, open_page, visit
from tests.world import eventually

pytest.importorskip("authlib")
pytest.importorskip("joserfc")

from tests.ui.provider import Provider

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider().serving() as provider:
        yield provider


@pytest.fixture(scope="module")
def console(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A console that all of example.org may sign in to; its address."""
    root, port = tmp_path_factory.mktemp("oidc"), free_port()
    (root / "pqfs.toml").write_text(f'ui_oidc = ["*@example.org"]\nui_port = {port}\n')
    pqfs = [sys.executable, "-m", "pqfs"]
    subprocess.run([*pqfs, "init"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    (root / "spool" / "secrets.toml").write_text(provider.secrets(f"http://127.0.0.1:{port}/"))
    with subprocess.Popen([*pqfs, "ui"], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}/"
        process.terminate()


def _knock(page: Any, console: str) -> None:
    open_page(page, f"{console}sign-in")
    page.get_by_role("button", name="Sign in by your provider").click()
    page.wait_for_url(console)


def test_whom_the_provider_vouches_for_is_in_stays_in_and_goes_out(
    console: str, provider: Provider, page: Any, tmp_path: Path
) -> None:
    _knock(page, console)
    page.get_by_role("button", name="Sign out").wait_for()
    page.reload()
    page.get_by_role("button", name="Sign out").wait_for()
    visit(page, "Audit trail")
    page.get_by_text("1 event.").wait_for()
    page.get_by_test_id("glide-cell-3-0").filter(has_text="console:ann@example.org").wait_for(state="attached")

    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in", exact=True).wait_for()
    eventually(lambda: provider.ended == 1, "he has signed out there, too")
    page.reload()
    page.get_by_role("link", name="Sign in", exact=True).wait_for()
    assert page.get_by_role("button", name="Sign out").count() == 0


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"email": "mallory@example.com"}, "may not act here"),
        ({"email_verified": False}, "verified address"),
    ],
)
def test_who_is_not_admitted_is_told_so(
    console: str, provider: Provider, page: Any, claims: dict[str, Any], said: str
) -> None:
    before, provider.claims = provider.claims, {**provider.claims, **claims}
    try:
        _knock(page, console)
        visit(page, "Sign in")
        page.get_by_text(said).wait_for()
        assert page.get_by_role("button", name="Sign out").count() == 0
    finally:
        provider.claims = before
