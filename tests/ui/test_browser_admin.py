"""The Admin half as a person uses it: a real stack, a real browser, real consequences."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.ui.browsing import Stack, answer, choose_option, fill_in, free_port, open_page, sign_in, visit
from tests.world import eventually

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_who_is_unknown_is_told_so_and_who_signs_in_can_sign_out_again(stack: Stack, page: Any) -> None:
    open_page(page, f"{stack.address}sign-in")
    fill_in(page, "wrong")
    page.get_by_text("do not go together").wait_for()
    fill_in(page, "correct horse")
    page.get_by_role("button", name="Sign out").wait_for()
    visit(page, "Audit trail")

    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    page.get_by_role("button", name="Sign out").wait_for(state="detached")


def test_a_reload_keeps_who_has_signed_in_until_he_signs_out_in_any_window(stack: Stack, page: Any) -> None:
    sign_in(page, stack)
    _await_cookie(page)
    page.reload()
    page.get_by_role("button", name="Sign out").wait_for()
    other = page.context.new_page()
    open_page(other, f"{stack.address}jobs")
    other.get_by_role("button", name="Sign out").click()
    other.get_by_role("button", name="Sign out").wait_for(state="detached")

    visit(page, "Upkeep", "Sign in")
    page.get_by_text("in another window").wait_for()
    page.reload()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert page.get_by_role("button", name="Sign out").count() == 0


def test_a_forged_cookie_lets_nobody_in(stack: Stack, page: Any) -> None:
    port = stack.address.rpartition(":")[2].rstrip("/")
    forged = {"name": f"pqfs-session-{port}", "value": "x" * 43, "url": stack.address}
    page.context.add_cookies([forged])

    open_page(page, f"{stack.address}upkeep")
    page.get_by_role("heading", name="Sign in").wait_for()
    assert page.get_by_role("button", name="Sign out").count() == 0


def _await_cookie(page: Any) -> None:
    """The browser fetches it by itself, a moment after it has been let in."""
    eventually(
        lambda: [each for each in page.context.cookies() if each["name"].startswith("pqfs-") and each["httpOnly"]],
        "the browser has its cookie",
    )


def test_too_many_failures_lock_and_no_reload_gives_another_try(stack: Stack, page: Any) -> None:
    stack("auth", "set-password", "bob", "--stdin", given="battery staple")
    open_page(page, f"{stack.address}sign-in")
    for said in ("left: 4", "left: 3", "left: 2", "left: 1", "locked until"):
        page.get_by_role("textbox", name="Name").fill("bob")
        page.get_by_label("Password", exact=True).fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_text(said).wait_for()

    page.reload()
    page.get_by_role("textbox", name="Name").fill("bob")
    page.get_by_label("Password", exact=True).fill("battery staple")
    page.keyboard.press("Enter")
    page.get_by_text("locked until").wait_for()


def test_a_text_is_submitted_and_comes_out(stack: Stack, page: Any) -> None:
    sign_in(page, stack)
    visit(page, "Submit")
    page.get_by_role("textbox", name="Its name").fill("note.txt")
    page.get_by_role("textbox", name="Text", exact=True).fill("written by hand")
    page.get_by_role("button", name="Submit the text").click()

    assert "Jobs: " in answer(page, "Submit")
    stack.done("note.txt")


def test_a_hostile_file_is_uploaded_and_its_name_acts_nowhere(stack: Stack, page: Any, tmp_path: Path) -> None:
    name = "<img src=x onerror=document.title='owned'> **x** :red[y].txt"
    (tmp_path / name).write_text("<script>document.title='owned'</script>")
    sign_in(page, stack)
    visit(page, "Submit")
    page.locator("input[type=file]").set_input_files(tmp_path / name)
    page.get_by_role("button", name="Submit 1 file").click()
    page.get_by_role("dialog").get_by_text("onerror=document.title").wait_for()

    answer(page, "Submit")
    stack.done(name)
    visit(page, "Audit trail")
    assert page.locator("img[src=x]").count() == 0
    assert "owned" not in page.title()


def test_a_dead_letter_is_redriven_and_goes_through(stack: Stack, page: Any) -> None:
    stack.drop("letter.txt", queue="picky")
    sign_in(page, stack)
    visit(page, "Dead letters")
    page.get_by_role("heading", name="Act on a group").wait_for()
    (stack.root / "forgiving").touch()
    page.get_by_role("button", name="Redrive").click()

    assert "1 job wait again" in answer(page, "Redrive")
    stack.done("letter.txt", "picky")


def test_a_running_job_is_cancelled(stack: Stack, page: Any) -> None:
    stack.drop("long.txt", queue="slow")
    sign_in(page, stack)
    visit(page, "Jobs")
    page.get_by_role("textbox", name="Name").fill("long.txt")
    page.get_by_role("textbox", name="Name").press("Enter")
    page.get_by_test_id("glide-cell-2-0").filter(has_text="long.txt").first.wait_for(state="attached")
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    page.mouse.click(box["x"] + 300, box["y"] + 52)
    page.get_by_role("heading", name="long.txt").wait_for()
    page.get_by_text("processing").first.wait_for()
    page.get_by_role("button", name="Cancel", exact=True).click()

    assert "1 job cancelled" in answer(page, "Yes, cancel")
    assert stack("jobs", "list", "-s", "cancelled", "-q", "slow", "--json").count("long.txt")


def test_consumers_are_scaled_up_and_down(stack: Stack, page: Any) -> None:
    sign_in(page, stack)
    visit(page, "Consumers")
    for count in ("3", "2"):
        page.get_by_role("spinbutton", name="Consumers").fill(count)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Scale", exact=True).click()
        page.get_by_role("dialog").get_by_text(count, exact=True).wait_for()
        answer(page, "Scale")
        page.locator(".st-key-report").get_by_text(f"Consumers: {count}.").wait_for()  # not of the time before
        page.get_by_text(f"{count} alive").wait_for()


def test_a_disagreement_is_found_repaired_and_gone(stack: Stack, page: Any) -> None:
    (stack.root / "kept.txt").write_text("x")
    job = stack("submit", "kept.txt", "--delay", "1h").strip()
    (payload,) = (stack.spool / "ready").glob(f"*/{job}.*")
    payload.unlink()
    sign_in(page, stack)
    visit(page, "Spool")
    page.get_by_role("button", name="Check now").click()
    page.get_by_text("Checked at").wait_for()
    choose_option(page, "Disagreement", "payload missing")
    page.get_by_role("button", name="Repair it").click()

    assert "Repaired" in answer(page, "Repair")
    page.get_by_text("one and the same story").wait_for()
    stack("jobs", "delete", job, "-y")


def test_a_paused_queue_says_so_and_goes_on_when_it_is_resumed(stack: Stack, page: Any) -> None:
    sign_in(page, stack)
    visit(page, "Queues")
    page.get_by_role("button", name="Pause", exact=True).click()
    answer(page, "Pause", value="2h")
    page.get_by_text("is paused").first.wait_for()
    stack.drop("waits.txt")
    page.get_by_role("button", name="Resume", exact=True).click()
    answer(page, "Resume")
    stack.done("waits.txt")


def test_what_is_chosen_while_the_table_changes_is_what_was_clicked(stack: Stack, page: Any) -> None:
    stack("queue", "create", "calm")
    stack("queue", "pause", "calm")
    for number in range(4):
        stack.drop(f"calm-{number}.txt", queue="calm")
    eventually(lambda: stack("jobs", "list", "-q", "calm", "--json").count('"id"') == 4, "all are taken")
    sign_in(page, stack)
    visit(page, "Jobs")
    page.get_by_role("textbox", name="Name").fill("calm-*")
    page.get_by_role("textbox", name="Name").press("Enter")
    page.get_by_text("4 jobs.").wait_for()
    over = threading.Event()

    def produce() -> None:
        number = 4
        while not over.wait(0.3):
            stack.drop(f"calm-{number}.txt", queue="calm")
            number += 1

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        page.get_by_text("Choose jobs, and act").click()
        page.get_by_text("chosen jobs").wait_for()
        shown = [page.get_by_test_id(f"glide-cell-2-{row}").first.inner_text() for row in (1, 2)]
        box = page.get_by_test_id("stDataFrame").first.bounding_box()
        for row in (1, 2):
            page.mouse.click(box["x"] + 18, box["y"] + 52 + 35 * row)
        choose_option(page, "Act", "Hold")
        page.get_by_role("button", name="Hold 2 chosen jobs").click()
        waiting = sum(1 for _ in (stack.spool / "ready").glob("*/*calm-*"))
        eventually(lambda: sum(1 for _ in (stack.spool / "ready").glob("*/*calm-*")) > waiting + 10, "more come")
        assert "2 jobs held" in answer(page, "Yes, hold")
    finally:
        over.set()
        producer.join()
    held = stack("jobs", "list", "-s", "held", "-q", "calm", "--json")
    assert held.count('"id"') == 2 and all(name in held for name in shown)


def test_the_half_for_all_offers_no_way_in(stack: Stack, page: Any) -> None:
    port = str(free_port())
    line = [sys.executable, "-m", "pqfs", "--spool", str(stack.spool), "ui", "--only", "ops", "--ui-port", port]
    console = subprocess.Popen(line, cwd=stack.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        open_page(page, f"http://127.0.0.1:{port}/")
        page.get_by_role("link", name="Jobs", exact=True).wait_for()
        page.get_by_role("heading", name="Overview").wait_for()
        assert page.get_by_role("link", name="Sign in").count() == 0
    finally:
        console.terminate()
        console.wait(30)
