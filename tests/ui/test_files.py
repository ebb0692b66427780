"""The files of the page, as the console hands them out itself."""

from __future__ import annotations

import asyncio
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from streamlit.file_util import get_static_dir

from ui import files
from ui.files import Files

_ROOT = Path(get_static_dir())


@cache
def _served() -> Files:
    async def application(*_: object) -> None:
        pass

    return Files(application, _ROOT)


def _asked(path: str, method: str = "GET") -> tuple[dict[str, str], bytes] | None:
    """Headers and body; None where the application is to answer."""
    told: list[Any] = []

    async def send(message: Any) -> None:
        told.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read of who asks for a file")

    asked = {"type": "http", "method": method, "path": path}
    asyncio.run(_served()(asked, receive, send))
    if not told:
        return None
    start, end = told
    return {name.decode(): value.decode() for name, value in start["headers"]}, end["body"]


def test_each_file_that_the_first_page_needs_is_there_whole_and_is_kept_by_the_browser_for_ever() -> None:
    found = _asked("/")
    assert found is not None
    headers, document = found
    assert headers["cache-control"] == "no-cache", "the next Streamlit has files of other names"

    named = re.findall(r'(?:src|href)="\.(/static/[^"]+)"', document.decode())
    assert len(named) == len(set(named))
    for path in [each for each in named if "/js/" in each]:
        answer = _asked(path)
        assert answer is not None
        headers, body = answer
        assert body == (_ROOT / path.lstrip("/")).read_bytes()
        assert headers["content-type"] == "text/javascript"
        assert (headers["content-length"], "immutable" in headers["cache-control"]) == (str(len(body)), True)


@pytest.mark.parametrize("program", files._DRAWN_BY)
def test_the_document_names_what_draws_the_first_page(program: str) -> None:
    found = _asked("/")
    assert found is not None
    assert f'"./static/js/{program}.' in found[1].decode(), "this Streamlit calls it by another name"


@pytest.mark.parametrize(
    "path", ["/static/../index.html", "/static/../../__init__.py", "/static//etc/passwd", "/static/js", "/jobs"]
)
def test_no_other_path_is_a_file(path: str) -> None:
    assert _asked(path) is None


def test_only_who_wants_to_read_a_file_is_answered() -> None:
    assert _asked("/", "POST") is None
