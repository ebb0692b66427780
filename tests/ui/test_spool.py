"""The spool's page: what lies where, the index beside it, each disagreement explained, a look into any file."""

from __future__ import annotations

import os
from pathlib import Path

from streamlit.testing.v1 import AppTest

from pqfs.model import State
from pqfs.wiring import App
from tests.hostile.names import names
from tests.ui.conftest import Fill
from tests.ui.pages import again, column, open_page, words
from tests.world import eventually


def _weighed(page: AppTest) -> AppTest:
    eventually(lambda: "Weighed" in words(again(page)), "the tree is weighed")
    return page


def test_the_tree_and_the_index_stand_side_by_side(app: App, job: Fill) -> None:
    job()
    job(b"b", State.FAILED, "no")

    page = _weighed(open_page("spool"))
    sizes = dict(zip(column(page, "directory"), column(page, "bytes"), strict=True))
    assert (sizes["ready"], sizes["dead"]) == ("7 B", "7 B")
    assert "differs" not in words(page)


def test_what_somebody_took_away_differs_and_the_check_says_what(app: App, job: Fill) -> None:
    made = job()
    app.spool.path(app.spool.payload_path(made)).unlink()
    app.spool.path("dead/**stranger**").write_bytes(b"")

    page = _weighed(open_page("spool"))
    assert "differs" in words(page)
    page.button("start-check").click()
    eventually(lambda: "Checked at" in words(again(page)), "the check has ended")
    said = words(page)
    assert "payload missing" in said and made.id in said
    assert "unexplained name" in said
    assert "pqfs fsck --repair" in said


def test_a_check_of_a_sound_spool_says_so(app: App, job: Fill) -> None:
    job()
    page = open_page("spool")
    page.button("start-check").click()

    eventually(lambda: "Checked at" in words(again(page)), "the check has ended")
    assert "one and the same story" in words(page)


def test_folders_are_browsed_and_files_looked_into(app: App, job: Fill) -> None:
    made = job(b"letter.txt", State.FAILED, "no")

    page = open_page("spool", dir="dead")
    (name,) = column(page, "name")
    assert str(name).endswith("letter.txt")
    said = words(open_page("spool", dir="dead", file=str(name)))
    assert "payload" in said
    assert f"pqfs why dead/{made.id}" in said


def test_hostile_names_are_text_and_nobody_leaves_the_spool(app: App) -> None:
    wanted = list(names(11, 60, lambda name: False))
    for name in wanted:
        Path(os.fsdecode(os.path.join(os.fsencode(app.spool.path("inbox")), name))).write_bytes(b"<script>**x**")

    page = open_page("spool", dir="inbox")
    shown = [str(name) for name in column(page, "name")]
    assert len(shown) == 60
    for text in shown[:10]:
        look = open_page("spool", dir="inbox", file=text)
        assert "<script>**x**" in [each.value for each in look.code]
        assert not [each.value for each in look.markdown if "**x**" in each.value]
    for path in ("..", "inbox/..", "/etc", "inbox/%2E%2E/%2E%2E"):
        assert "is no path in the spool" in words(open_page("spool", dir=path, file="passwd")).replace("\\", "")


def test_without_an_index_the_tree_stands_alone(root: Path, app: App) -> None:
    for path in root.glob("spool/index.db*"):
        path.unlink()

    assert "the tree stands alone" in words(_weighed(open_page("spool")))
