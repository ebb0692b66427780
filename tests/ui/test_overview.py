"""The console's first page, run by Streamlit's own test harness on a real spool, without a browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pqfs.clock import boot_id
from pqfs.index import Index
from pqfs.model import Arrival
from pqfs.owners import OwnerLock
from pqfs.settings import load
from pqfs.spool import Spool
from pqfs.wiring import open_index

_APP = str(Path(__file__).resolve().parent.parent.parent / "ui" / "app.py")
_FIRST_RUN = 60.0  # seconds; it imports the world


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The place of a spool, known to the console."""
    monkeypatch.setenv("PQFS_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("PQFS_LOGS", str(tmp_path / "logs"))
    st.cache_resource.clear()
    yield tmp_path
    st.cache_resource.clear()


@pytest.fixture
def index(root: Path) -> Iterator[Index]:
    """The index of a whole, empty spool."""
    Spool.create(root / "spool")
    opened = open_index(load().settings)
    yield opened
    opened.close()


def _page() -> AppTest:
    page = AppTest.from_file(_APP, default_timeout=_FIRST_RUN).run()
    assert not page.exception
    return page


def _words(page: AppTest) -> str:
    """Everything that the page says, tables included."""
    parts = [
        element.value
        for kind in (page.markdown, page.caption, page.warning, page.info, page.error)
        for element in kind
    ]
    return "\n".join([*parts, *(table.value.to_string() for table in page.table)])


def test_without_a_spool_the_page_says_how_to_make_one(root: Path) -> None:
    words = _words(_page())

    assert "There is no spool" in words
    assert "stopped" in words


def test_without_an_index_the_page_says_so_and_still_shows_the_tree(root: Path) -> None:
    Spool.create(root / "spool")
    (root / "spool" / "inbox" / "waiting").touch()

    words = _words(_page())

    assert "There is no index" in words
    assert "inbox/" in words


def test_an_empty_spool_says_where_to_begin(index: Index) -> None:
    words = _words(_page())

    assert "No output yet" in words
    assert "No consumer is registered" in words
    assert "does not run on this spool" in words


def test_a_busy_spool_shows_counts_outputs_and_what_needs_a_person(index: Index, root: Path) -> None:
    began = time.time() - 60
    janitor = OwnerLock(root / "spool" / "run", "janitor", boot_id(), began)
    with index.transaction():
        index.insert([Arrival(f"0190{n:032}", "default", b"a", 1) for n in range(12_345)], "ingester.1.a", began)
    (root / "spool" / "outbox" / "20261122T043126.123456Z_0123456789ab_**x** :red[y].txt").write_text("out")

    words = _words(_page())
    janitor.release()

    assert "12,345" in words
    assert r"\*\*x\*\*" in words, "a name is shown as it is, not as markup"
    assert "no-consumer" in words.replace("\\", "")
    assert "no living consumer takes it" in words.replace("\\", "")


def test_the_page_says_that_the_stack_runs_when_it_does(index: Index, root: Path) -> None:
    run = root / "spool" / "run"
    locks = [OwnerLock(run, program, boot_id(), time.time()) for program in ("ingester", "consumer-00")]
    words = _words(_page())
    for lock in locks:
        lock.release()

    assert "running" in words
    assert "does not run" not in words


def test_settings_that_contradict_themselves_are_a_sentence_and_no_trace(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PQFS_NONSENSE", "1")

    assert "There is no setting" in _words(_page())
