"""A real stack, a real browser: what the scenarios of both halves of the console share."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.world import eventually

PASSWORD = "correct horse"
PATIENCE = 30_000  # milliseconds
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_SETTINGS = """
[queues.picky]
handler = { command = ["sh", "-c", "test -f ROOT/forgiving && cat {input}"], stdout = "output" }
max_failures = 1
[queues.slow]
handler = { command = ["sleep", "600"], stdout = "output" }
"""


class Stack:
    """A running stack: its folder, the console's address, and its command line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spool = root / "spool"
        self.address = f"http://127.0.0.1:{free_port()}/"

    def __call__(self, *words: str, given: str = "") -> str:
        line = [sys.executable, "-m", "pqfs", "--spool", str(self.spool), "--logs", str(self.root / "logs"), *words]
        done = subprocess.run(
            line, cwd=self.root, check=True, timeout=120, input=given, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    def drop(self, name: str, text: str = "x", queue: str = "") -> None:
        """Drop a file into the inbox."""
        (self.spool / "inbox" / queue / name).write_text(text)

    def done(self, name: str, queue: str = "") -> None:
        """Wait until an output of this name has been published."""
        outbox = self.spool / "outbox" / queue
        eventually(
            lambda: outbox.is_dir() and [each for each in outbox.iterdir() if each.name.endswith(f"_{name}")],
            f"{name} comes out",
        )


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A running stack, in which ann may sign in."""
    stack = Stack(Path(tempfile.mkdtemp(prefix="pq-")))
    (stack.root / "pqfs.toml").write_text(_SETTINGS.replace("ROOT", str(stack.root)))
    stack("up", "-d", "--ui-port", stack.address.rpartition(":")[2].rstrip("/"))
    stack("auth", "set-password", "ann", "--stdin", given=PASSWORD)
    yield stack
    stack("down")
    shutil.rmtree(stack.root)


@pytest.fixture
def browser() -> str:
    """A Chromium of this machine."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if not found:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    """What the person's browser prefers."""
    found: str = request.param
    return found


@pytest.fixture
def page(browser: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of a browser, which asks nobody but this host for anything."""
    sync_api = pytest.importorskip("playwright.sync_api")
    scheme = request.getfixturevalue("scheme") if "scheme" in request.fixturenames else "light"
    asked: set[str] = set()
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        found = opened.new_context(viewport={"width": 1400, "height": 1000}, color_scheme=scheme).new_page()
        found.set_default_timeout(PATIENCE)
        found.on("request", lambda request: asked.add(request.url))
        yield found
        opened.close()
    assert [url for url in asked if "127.0.0.1" not in url and not url.startswith(("data:", "blob:"))] == []


def open_page(page: Any, address: str) -> None:
    """Open a page that may still be starting."""
    sync_api = pytest.importorskip("playwright.sync_api")
    for _ in range(100):
        try:
            page.goto(address)
            return
        except sync_api.Error:
            page.wait_for_timeout(200)
    pytest.fail("the console did not start")


def fill_in(page: Any, password: str) -> None:
    """Say who one is, by the keyboard alone."""
    page.get_by_role("textbox", name="Name").fill("ann")
    page.get_by_label("Password", exact=True).fill(password)
    page.keyboard.press("Enter")


def sign_in(page: Any, stack: Stack) -> None:
    """Sign in."""
    open_page(page, f"{stack.address}sign-in")
    fill_in(page, PASSWORD)
    page.get_by_role("button", name="Sign out").wait_for()


def visit(page: Any, name: str, heading: str = "") -> None:
    """Go to a page by its link; `heading`: where that leads instead."""
    page.get_by_test_id("stSidebar").get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", name=heading or name, exact=True).wait_for()


def choose_option(page: Any, label: str, option: str) -> None:
    """Choose from a list by typing."""
    box = page.get_by_role("combobox", name=label).first
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option).first.click()


def answer(page: Any, label: str, value: str | None = None, word: str = "") -> str:
    """Answer the question that is open; what the report says."""
    dialog = page.get_by_role("dialog")
    if value is not None:
        dialog.get_by_role("textbox").first.fill(value)
    if word:
        dialog.get_by_role("textbox", name="Word").fill(word)
    dialog.get_by_role("textbox", name="Reason").fill("a scenario")
    dialog.get_by_role("button", name=label, exact=True).click()
    dialog.wait_for(state="detached")
    page.locator(".st-key-report").get_by_text("It took").wait_for()
    said: str = page.locator(".st-key-report").inner_text()
    return said
