"""Pages of the console, run by Streamlit's own test harness: opened by name and address, read as words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

APP = str(Path(__file__).resolve().parent.parent.parent / "ui" / "app.py")
PAGES = ("", "jobs", "spool", "queues", "consumers", "dead", "rejected", "logs", "health", "job")
_TAG = re.compile(r"<[^>]*>")
_FIRST_RUN = 60.0  # seconds; it imports the world


def open_page(name: str, /, _session: Mapping[str, Any] | None = None, **query: str) -> AppTest:
    """A page with this address, run once, in a session that holds this. It must not have raised anything."""
    page = AppTest.from_file(APP, default_timeout=_FIRST_RUN)
    for key, value in (_session or {}).items():
        page.session_state[key] = value
    page._page_hash = calc_hash(name)  # switch_page knows only pages that are files
    page.query_params.update(query)
    return again(page)


def again(page: AppTest) -> AppTest:
    """The same page, run once more."""
    page.run()
    assert not page.exception, [each.value for each in page.exception]
    return page


def words(page: AppTest) -> str:
    """Everything that the page says, tables and grids included."""
    kinds = (
        page.title, page.subheader, page.markdown, page.caption, page.warning, page.info, page.error, page.success,
        page.code,
    )  # fmt: skip
    parts = [str(element.value) for kind in kinds for element in kind]
    parts += [f"{each.label} {each.value}" for each in page.metric]
    parts += [str(each.proto.label) for each in page.get("page_link")]
    parts += [unescape(_TAG.sub("", str(each.proto.body))) for each in page.get("html")]
    parts += [table.value.to_string() for table in page.table]
    return "\n".join([*parts, *(str(column) for grid in page.dataframe for column in grid.value.values.tolist())])


def drawn(page: AppTest) -> str:
    """What the page draws in its own HTML."""
    return "".join(str(each.proto.body) for each in page.get("html"))


def column(page: AppTest, name: str, grid: int = 0) -> list[object]:
    """One column of a grid."""
    if len(page.dataframe) <= grid:
        return []
    return list(page.dataframe[grid].value[name])
