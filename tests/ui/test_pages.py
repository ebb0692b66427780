"""Every page: on an empty spool, without one, with a broken index; and what the quieter pages say of a busy one."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest
import streamlit as st

from pqfs.clock import SystemClock, boot_id
from pqfs.model import State
from pqfs.naming import id12
from pqfs.owners import OwnerLock
from pqfs.pulse import Pulse
from pqfs.settings import load
from pqfs.spool import Spool
from pqfs.wiring import App, open_app
from tests.opened import consumer, run
from tests.ui.conftest import Fill
from tests.ui.pages import PAGES, again, column, open_page, words
from tests.world import new_id
from ui.store.door import door
from ui.store.undertakings import Author, begin, report

_UI = Path(__file__).resolve().parent.parent.parent / "ui"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_without_a_spool_says_so(root: Path, name: str) -> None:
    assert "There is no spool" in words(open_page(name))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_an_empty_spool_has_something_to_say(app: App, name: str) -> None:
    page = open_page(name)

    assert len(page.title) == 1
    assert "does not run on this spool" in words(page)


@pytest.mark.parametrize("name", PAGES)
def test_a_broken_index_is_told_in_words_on_every_page(root: Path, name: str) -> None:
    Spool.create(root / "spool")
    open_app(load()).close()
    path = root / "spool" / "index.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * 40_960)

    said = words(open_page(name))
    assert "index" in said.lower()
    assert "Traceback" not in said and "apsw" not in said


def test_a_browser_that_has_all_caches_cleared_takes_nothing_from_anybody(app: App) -> None:
    opened, begun = door(), begin("Try", Author("ann"), lambda _app, _it: "Tried.").value
    assert begun is not None

    st.cache_resource.clear()  # what Streamlit does for whoever sends it `clear_cache`
    st.cache_data.clear()

    assert door() is opened
    found = report(begun)
    assert found and found.said == "Tried."


def test_labels_name_every_widget(app: App, job: Fill) -> None:
    job()
    for name in PAGES:
        page = open_page(name)
        widgets = [*page.text_input, *page.selectbox, *page.toggle, *page.button, *page.select_slider]
        assert [each for each in widgets if not each.label] == []


def test_refresh_can_be_paused_and_stays_so(app: App) -> None:
    page = open_page("queues")
    page.toggle("refresh").set_value(False)

    assert "Refresh is off" in words(again(page))


def test_queues_tell_what_holds_them_up(app: App, job: Fill) -> None:
    job()
    with app.index.transaction():
        app.index.create_queue("mail", 1.0)
    consumer(app, "consumer-00.1.a", ("mail",))
    lock = OwnerLock(app.spool.path("run"), "consumer-00", boot_id(), time.time())

    page = open_page("queues")
    lock.release()
    assert column(page, "queue") == ["default", "mail"]
    assert column(page, "◷ pending") == [1, 0]


def test_consumers_tell_what_they_run(app: App, job: Fill) -> None:
    running = job(b"**film**.mkv", State.PROCESSING)
    consumer(app, "consumer-00.1.a")
    run(app, "consumer-00.1.a", running.id, 1)

    page = open_page("consumers")
    assert column(page, "runs") == ["**film**.mkv"]
    assert column(page, "is") != ["✓ alive"], "its lock is not held"


def test_what_was_refused_is_listed_with_its_reason_and_shown(app: App) -> None:
    number = id12(new_id())
    app.spool.explain_refusal(
        number, {"name": "<b>x</b>.txt", "queue": "default", "reason": "it is **no** file", "at": 1.0, "size": 3}
    )
    app.spool.path(f"rejected/{number}.<b>x<%2Fb>.txt").write_text("abc")

    page = open_page("rejected", number=number)
    assert column(page, "reason") == ["it is **no** file"]
    said = words(page)
    assert r"\*\*no\*\*" in said
    assert f"pqfs rejected retry {number}" in said
    assert "abc" in said


def test_logs_are_searched_by_program_level_and_word(app: App, root: Path) -> None:
    (root / "logs").mkdir()
    (root / "logs" / "ingester.log").write_text("2026-11-22T04:00:01.000Z INFO    started **owner**=x\n")
    (root / "logs" / "janitor.log").write_text("2026-11-22T04:00:02.000Z ERROR   alarm what=<b>disk</b>\n")

    said = words(open_page("logs"))
    assert "started **owner**=x" in said and "alarm what=<b>disk</b>" in said
    assert "alarm" not in words(open_page("logs", program="ingester"))
    assert "started" not in words(open_page("logs", level="ERROR"))
    assert "2 lines" not in words(open_page("logs", text="disk"))
    assert "There is no log of" in words(open_page("logs", program="nobody")).replace("\\", "")


def test_health_tells_rules_processes_and_versions(app: App, job: Fill) -> None:
    job(b"a", State.FAILED, "no")

    said = words(open_page("health")).replace("\\", "")
    assert "not-running" in said and "dead-letters" in said
    assert "SQLite" in said and "schema" in said and "work pauses below" in said


def test_a_pulse_tells_instants_as_times(app: App) -> None:
    clock = SystemClock()
    pulse = Pulse(app.spool.path("run"), "janitor", "janitor.1.aa", boot_id(), clock)
    at = clock.boottime()
    pulse.beat(alarms={"handler-unfit": at - 180.5}, stepped={"by": -3600.2, "at": at - 600.5}, idle_since=at - 90.2)
    pulse.close()

    said = words(open_page("health")).replace("\\", "")

    assert "alarms: handler-unfit for 3 min" in said
    assert "clock set by -60 min 10 min ago" in said
    assert "idle for 90 s" in said


@pytest.mark.parametrize("path", sorted(_UI.rglob("*.py")), ids=lambda path: str(path.relative_to(_UI)))
def test_the_store_is_the_only_door_to_pqfs(path: Path) -> None:
    if path.parent.name == "store":
        return
    tree = ast.walk(ast.parse(path.read_text()))
    imported = {node.module for node in tree if isinstance(node, ast.ImportFrom) and node.module}

    assert {name for name in imported if name.partition(".")[0] == "pqfs"} == set()
