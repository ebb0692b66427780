"""The console as a person sees it: a real stack, a real browser, a file that appears by itself."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.world import eventually

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


@pytest.fixture(scope="module")
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
        found = opened.new_page(viewport={"width": 1400, "height": 1000}, color_scheme=scheme)
        found.set_default_timeout(_PATIENCE)
        found.on("request", lambda request: asked.add(request.url))
        yield found
        opened.close()
    assert [url for url in asked if "127.0.0.1" not in url and not url.startswith(("data:", "blob:"))] == []


def _open(page: Any, address: str) -> None:
    """Open a page that may still be starting."""
    sync_api = pytest.importorskip("playwright.sync_api")
    for _ in range(100):
        try:
            page.goto(address)
            return
        except sync_api.Error:
            page.wait_for_timeout(200)
    pytest.fail("the console did not start")


def _choose(page: Any, row: int) -> None:
    """Click on the name in a row of the first grid, which is a picture to the browser."""
    page.get_by_test_id(f"glide-cell-2-{row}").first.wait_for(state="attached")
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    page.mouse.click(box["x"] + 300, box["y"] + 52 + 35 * row)


def _done(root: Path, name: str) -> None:
    """Wait until an output of this name has been published."""
    outbox = root / "spool" / "outbox"
    eventually(lambda: [each for each in outbox.iterdir() if each.name.endswith(f"_{name}")], f"{name} comes out")


def test_a_dropped_file_appears_on_the_page_by_itself(
    console: tuple[Path, str], page: Any, tmp_path: Path, scheme: str
) -> None:
    root, address = console
    _open(page, address)
    page.locator(".st-key-life").get_by_text("running").wait_for()

    (root / "spool" / "inbox" / f"hello :red[{scheme}].txt").write_text("hello")

    page.get_by_text(f"hello :red[{scheme}].txt").wait_for()
    page.screenshot(path=tmp_path / f"overview-{scheme}.png", full_page=True)


def test_a_file_is_watched_through_from_the_inbox_to_its_output(console: tuple[Path, str], page: Any) -> None:
    root, address = console
    (root / "spool" / "inbox" / "watched.txt").write_text("what is in it")
    _done(root, "watched.txt")

    _open(page, f"{address}jobs?name=watched.txt")
    page.get_by_text("1 job.").wait_for()
    _choose(page, 0)

    page.get_by_role("heading", name="watched.txt").wait_for()
    page.get_by_text("attempt 1 ended").wait_for()
    assert page.get_by_text("what is in it").count() == 2, "its input and its output"


def test_a_filter_stays_when_a_job_was_opened_and_left(console: tuple[Path, str], page: Any) -> None:
    root, address = console
    for name in ("one.log", "two.log", "three.csv"):
        (root / "spool" / "inbox" / name).write_text(name)
        _done(root, name)
    _open(page, f"{address}jobs")
    page.get_by_role("textbox", name="Name").fill("*.log")
    page.get_by_role("textbox", name="Name").press("Enter")
    page.get_by_text("2 jobs.").wait_for()

    _choose(page, 0)
    page.get_by_role("heading", name="two.log").wait_for()
    page.go_back()

    page.get_by_text("2 jobs.").wait_for()
    assert page.get_by_role("textbox", name="Name").input_value() == "*.log"
    assert unquote(page.url).endswith("jobs?name=*.log")


def test_no_name_acts_on_any_page_that_shows_it(console: tuple[Path, str], page: Any) -> None:
    root, address = console
    name = "<img src=x onerror=document.title='owned'> [a](b) **x** www.evil.example.txt"
    (root / "spool" / "inbox" / name).write_text("<script>document.title='owned'</script> http://evil.example")
    _done(root, name)

    _open(page, address)
    page.get_by_text("onerror=document.title").first.wait_for()
    _look_for_harm(page)
    _open(page, f"{address}jobs?name=*evil*")
    page.get_by_text("1 job.").wait_for()
    _choose(page, 0)
    page.get_by_text("attempt 1 ended").wait_for()
    _look_for_harm(page)


def _look_for_harm(page: Any) -> None:
    assert page.locator("img[src=x]").count() == 0
    links = page.evaluate("Array.from(document.links, each => [each.hostname, each.pathname])")
    assert [each for each in links if each[0] != "127.0.0.1" or each[1].endswith("/b")] == []
    assert "owned" not in page.title()


# What stands in the row under the pointer in the moment of the click: the grid tells it to screen readers.
_NOTE = """document.addEventListener("pointerdown", () => {
  window.seen = document.querySelector('[data-testid="glide-cell-2-3"]')?.innerText;
}, true)"""


def test_what_opens_is_what_was_clicked_while_the_table_changes(console: tuple[Path, str], page: Any) -> None:
    root, address = console
    inbox, over = root / "spool" / "inbox", threading.Event()

    def produce() -> None:
        number = 0
        while not over.wait(0.2):
            (inbox / f"drop-{number:04}.txt").write_text("x")
            number += 1

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        _done(root, "drop-0009.txt")
        seen = 0
        while seen < 3:
            _open(page, f"{address}jobs?name=drop-*")
            page.evaluate(_NOTE)
            opened, shown = _opened(page), page.evaluate("window.seen")
            assert shown in (None, opened), "None: the grid had not told yet what it has just drawn"
            seen += shown is not None
    finally:
        over.set()
        producer.join()


def _opened(page: Any) -> str:
    """Click on the fourth row until a job opens: a click on rows that are being replaced opens none."""
    sync_api = pytest.importorskip("playwright.sync_api")
    heading = page.get_by_role("heading", name="drop-")
    for _ in range(10):
        _choose(page, 3)
        try:
            heading.wait_for(timeout=5_000)
            break
        except sync_api.TimeoutError:
            continue
    found: str = heading.inner_text()
    return found


def test_folders_are_entered_one_by_one_and_back_leads_out_again(console: tuple[Path, str], page: Any) -> None:
    root, address = console
    (root / "spool" / "inbox" / "kept.txt").write_text("x")
    _done(root, "kept.txt")
    eventually(lambda: list((root / "spool" / "done").glob("*/*kept.txt")), "its input is put away")
    (day,) = (each.name for each in (root / "spool" / "done").iterdir() if each.is_dir())
    _open(page, f"{address}spool?dir=done")
    page.get_by_text("1 of 1 names").wait_for()

    page.get_by_test_id("glide-cell-1-0").first.wait_for(state="attached")
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    page.mouse.click(box["x"] + 80, box["y"] + 52)

    page.wait_for_url(f"**/spool?dir=done%2F{day}")
    page.get_by_role("link", name=day).wait_for()
    page.go_back()
    page.get_by_text("1 of 1 names").wait_for()
    assert unquote(page.url).endswith("spool?dir=done")
