"""Nobody is shut out: axe-core finds no serious fault on any page, in light and dark; and a picture of each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.ui.browsing import Stack, sign_in, visit
from tests.world import eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = (
    "Overview", "Jobs", "Spool", "Queues", "Consumers", "Dead letters", "Rejected", "Logs", "Health",
    "Submit", "Try a queue", "Upkeep", "Settings", "Users", "Audit trail",
)  # fmt: skip
_NARROW = ("Overview", "Jobs", "Spool", "Queues", "Health")
_SERIOUS = ("serious", "critical")
_LONGEST = f"{'x' * 251}.pdf"  # as long as a name can be, in one word


def test_no_page_has_a_serious_fault(stack: Stack, page: Any, scheme: str, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    pictures = Path(os.environ.get("PQFS_TEST_PICTURES", tmp_path))
    _fill(stack)
    sign_in(page, stack)

    found = []
    for name in PAGES:
        visit(page, name)
        _settle(page)
        _picture(page, pictures, f"{name}-{scheme}")
        found += [(name, *fault) for fault in _faults(axe.run(page).response)]
    found += [("a question", *fault) for fault in _faults(axe.run(_with_a_question(page)).response)]
    _picture(page, pictures, f"question-{scheme}")
    found += [("a job", *fault) for fault in _faults(axe.run(_with_a_job(page)).response)]
    _picture(page, pictures, f"job-{scheme}")
    for name in _NARROW if "PQFS_TEST_PICTURES" in os.environ else ():
        page.set_viewport_size({"width": 900, "height": 1000})
        visit(page, name)
        _settle(page)
        _picture(page, pictures, f"{name}-{scheme}-narrow")
    page.get_by_role("button", name="Sign out").click()
    visit(page, "Sign in")
    _picture(page, pictures, f"sign-in-{scheme}")
    found += [("Sign in", *fault) for fault in _faults(axe.run(page).response)]

    assert found == [], "\n".join(map(str, found))


def _picture(page: Any, pictures: Path, name: str) -> None:
    page.screenshot(path=pictures / f"{name.lower().replace(' ', '-')}.png")


def _with_a_question(page: Any) -> Any:
    visit(page, "Queues")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog").get_by_role("textbox", name="Word").wait_for()
    _settle(page)
    return page


def _with_a_job(page: Any) -> Any:
    page.get_by_role("button", name="Leave it").click()
    page.get_by_role("dialog").wait_for(state="detached")
    visit(page, "Jobs")
    page.get_by_test_id("glide-cell-2-0").first.wait_for(state="attached")
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    page.mouse.click(box["x"] + 300, box["y"] + 52)
    page.get_by_role("heading", name="Job", exact=True).wait_for()
    page.get_by_role("heading", name="Provenance").wait_for()
    _settle(page)
    return page


def _fill(stack: Stack) -> None:
    """Something of everything."""
    stack.drop("report.pdf", "%PDF")
    stack.drop("letter.txt", queue="picky")
    (stack.spool / "inbox" / "link").symlink_to("/etc/passwd")
    stack.done("report.pdf")
    eventually(lambda: any((stack.spool / "dead").iterdir()), "a letter is dead")
    eventually(lambda: any((stack.spool / "rejected").glob("*.json")), "a link is refused")
    (stack.spool / "inbox" / f"{'y' * 255}").symlink_to("/etc/passwd")
    stack.drop(_LONGEST)  # the last, so that it is the newest job
    eventually(lambda: any("xxx" in each.name for each in (stack.spool / "outbox").iterdir()), "it comes out")


def _settle(page: Any) -> None:
    """Wait until the page is whole: Streamlit says when nothing runs, and nothing is still to come."""
    page.wait_for_function(
        "document.querySelector('[data-test-script-state]')?.dataset.testScriptState !== 'running'"
        " && !document.querySelector('[data-testid=stSkeleton]')"
    )


def _faults(answer: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    return [
        (each["id"], each["impact"], [node["html"][:160] for node in each["nodes"]][:3])
        for each in answer["violations"]
        if each["impact"] in _SERIOUS
    ]
