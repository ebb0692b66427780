"""The console as a person sees it: a real stack, a real browser, a file that appears by itself."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.ui.browsing import Stack, open_page
from tests.world import eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def _choose(page: Any, row: int) -> None:
    """Click on the name in a row of the first grid, which is a picture to the browser."""
    page.get_by_test_id(f"glide-cell-2-{row}").first.wait_for(state="attached")
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    page.mouse.click(box["x"] + 300, box["y"] + 52 + 35 * row)


def test_a_dropped_file_appears_on_the_page_by_itself(stack: Stack, page: Any, tmp_path: Path, scheme: str) -> None:
    open_page(page, stack.address)
    page.get_by_test_id("stMain").get_by_text("running").first.wait_for()

    stack.drop(f"hello :red[{scheme}].txt", "hello")

    page.get_by_text(f"hello :red[{scheme}].txt").wait_for()
    page.screenshot(path=tmp_path / f"overview-{scheme}.png", full_page=True)


def test_a_file_is_watched_through_from_the_inbox_to_its_output(stack: Stack, page: Any) -> None:
    stack.drop("watched.txt", "what is in it")
    stack.done("watched.txt")

    open_page(page, f"{stack.address}jobs?name=watched.txt")
    page.get_by_text("1 job.").wait_for()
    _choose(page, 0)

    page.get_by_role("heading", name="watched.txt").wait_for()
    page.get_by_text("attempt 1 ended").wait_for()
    page.get_by_text("what is in it").nth(1).wait_for()  # its input and its output


def test_a_filter_stays_when_a_job_was_opened_and_left(stack: Stack, page: Any) -> None:
    for name in ("one.log", "two.log", "three.csv"):
        stack.drop(name, name)
        stack.done(name)
    open_page(page, f"{stack.address}jobs")
    page.get_by_role("textbox", name="Name").fill("*.log")
    page.get_by_role("textbox", name="Name").press("Enter")
    page.get_by_text("2 jobs.").wait_for()

    _choose(page, 0)
    page.get_by_role("heading", name="two.log").wait_for()
    page.go_back()

    page.get_by_text("2 jobs.").wait_for()
    assert page.get_by_role("textbox", name="Name").input_value() == "*.log"
    assert unquote(page.url).endswith("jobs?name=*.log")


def test_no_name_acts_on_any_page_that_shows_it(stack: Stack, page: Any) -> None:
    name = "<img src=x onerror=document.title='owned'> [a](b) **x** www.evil.example.txt"
    stack.drop(name, "<script>document.title='owned'</script> http://evil.example")
    stack.done(name)

    open_page(page, stack.address)
    page.get_by_text("onerror=document.title").first.wait_for()
    _look_for_harm(page)
    open_page(page, f"{stack.address}jobs?name=*evil*")
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


def test_what_opens_is_what_was_clicked_while_the_table_changes(stack: Stack, page: Any) -> None:
    over = threading.Event()

    def produce() -> None:
        number = 0
        while not over.wait(0.2):
            stack.drop(f"drop-{number:04}.txt")
            number += 1

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        stack.done("drop-0009.txt")
        seen = 0
        while seen < 3:
            open_page(page, f"{stack.address}jobs?name=drop-*")
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


def test_folders_are_entered_one_by_one_and_back_leads_out_again(stack: Stack, page: Any) -> None:
    stack.drop("kept.txt", "x")
    stack.done("kept.txt")
    eventually(lambda: list((stack.spool / "done").glob("*/*kept.txt")), "its input is put away")
    (day,) = (each.name for each in (stack.spool / "done").iterdir() if each.is_dir())
    open_page(page, f"{stack.address}spool?dir=done")
    page.get_by_text("1 of 1 names").wait_for()

    page.get_by_test_id("glide-cell-1-0").first.wait_for(state="attached")
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    page.mouse.click(box["x"] + 80, box["y"] + 52)

    page.wait_for_url(f"**/spool?dir=done%2F{day}")
    page.get_by_role("link", name=day).wait_for()
    page.go_back()
    page.get_by_text("1 of 1 names").wait_for()
    assert unquote(page.url).endswith("spool?dir=done")
