"""The console's first page, run by Streamlit's own test harness on a real spool, without a browser."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pqfs.clock import boot_id
from pqfs.owners import OwnerLock
from pqfs.spool import Spool
from pqfs.wiring import App
from tests.ui.pages import drawn, open_page, words
from ui.store.overview import branches, newest_outputs


def test_without_a_spool_the_page_says_how_to_make_one(root: Path) -> None:
    said = words(open_page(""))

    assert "There is no spool" in said
    assert "stopped" in said


def test_without_an_index_the_page_says_so_and_still_shows_the_tree(root: Path) -> None:
    Spool.create(root / "spool")
    (root / "spool" / "inbox" / "waiting").touch()

    said = words(open_page(""))

    assert "There is no index" in said
    assert "inbox/" in said


def test_an_empty_spool_says_where_to_begin(app: App) -> None:
    said = words(open_page(""))

    assert "No output yet" in said
    assert "No consumer is registered" in said
    assert "does not run on this spool" in said


def test_a_busy_spool_shows_counts_outputs_and_what_needs_a_person(app: App, ten_thousand: list[str]) -> None:
    janitor = OwnerLock(app.spool.path("run"), "janitor", boot_id(), time.time() - 60)
    name = "20261122T043126.123456Z_0123456789ab_**x** <b>y&amp;.txt"
    app.spool.path(f"outbox/{name}").write_text("out")

    page = open_page("")
    said = words(page)
    janitor.release()

    assert "10,000" in said
    assert "**x** &lt;b&gt;y&amp;amp;.txt" in drawn(page), "a name is shown as it is, not as markup"
    assert "no-consumer" in said.replace("\\", "")
    assert "no living consumer takes it" in said.replace("\\", "")
    assert "Drained in never" in said


def test_the_page_says_that_the_stack_runs_when_it_does(app: App) -> None:
    run = app.spool.path("run")
    locks = [OwnerLock(run, program, boot_id(), time.time()) for program in ("ingester", "consumer-00")]
    said = words(open_page(""))
    for lock in locks:
        lock.release()

    assert "running" in said
    assert "does not run" not in said


def test_settings_that_contradict_themselves_are_a_sentence_and_no_trace(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PQFS_NONSENSE", "1")

    assert "There is no setting" in words(open_page(""))


def test_what_the_last_hours_were_like_is_drawn_and_told(app: App) -> None:
    with app.index.transaction():
        app.index.add_stats("default", time.time() - 600, ingested=7, completed=5, failed=1, run_seconds=3.0)

    assert "UTC: 7 taken in, 5 completed, 1 failed" in drawn(open_page("")), "told to who points there"
    for period in ("", "7 d"):
        said = words(open_page("", period=period))
        assert "7 taken in, 5 completed, 1 failed" in said
        assert "On average 0.5 s, over 6 jobs" in said


def test_what_many_look_at_is_listed_once(app: App) -> None:
    first = newest_outputs(), branches()
    app.spool.path("outbox/20261122T043126.123456Z_0123456789ab_x.txt").write_text("out")

    assert newest_outputs() is first[0], "a moment later it is the same look, with the time at which it was taken"
    assert branches() is first[1]
