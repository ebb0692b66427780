"""The console as a person sees it: a real stack, a real browser, a file that appears by itself."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE = 30_000  # milliseconds


@pytest.fixture
def browser() -> str:
    """A Chromium of this machine."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if not found:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@pytest.fixture
def console() -> Iterator[tuple[Path, str]]:
    """A running stack: its directory and the console's address."""
    root = Path(tempfile.mkdtemp(prefix="pq-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    pqfs = [sys.executable, "-m", "pqfs", "--spool", str(root / "spool"), "--logs", str(root / "logs")]
    subprocess.run([*pqfs, "up", "-d", "--ui-port", str(port)], cwd=root, check=True, timeout=90)
    yield root, f"http://127.0.0.1:{port}/"
    subprocess.run([*pqfs, "down"], cwd=root, check=True, timeout=90)
    shutil.rmtree(root)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_dropped_file_appears_on_the_page_by_itself(
    console: tuple[Path, str], browser: str, tmp_path: Path, scheme: str
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    root, address = console
    asked: set[str] = set()
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": 1400, "height": 1000}, color_scheme=scheme)
        page.on("request", lambda request: asked.add(request.url))
        _open(page, address)
        page.get_by_text("No output yet").wait_for(timeout=_PATIENCE)

        (root / "spool" / "inbox" / "hello :red[x].txt").write_text("hello")

        page.get_by_text("hello :red[x].txt").wait_for(timeout=_PATIENCE)
        page.locator(".st-key-life").get_by_text("running").wait_for(timeout=_PATIENCE)
        page.screenshot(path=tmp_path / f"overview-{scheme}.png", full_page=True)
        opened.close()
    assert [url for url in asked if "127.0.0.1" not in url and not url.startswith("data:")] == []


def _open(page, address: str) -> None:  # type: ignore[no-untyped-def]  # playwright is optional
    """Open a page that may still be starting."""
    sync_api = pytest.importorskip("playwright.sync_api")
    for _ in range(100):
        try:
            page.goto(address)
            return
        except sync_api.Error:
            page.wait_for_timeout(200)
    pytest.fail("the console did not start")
