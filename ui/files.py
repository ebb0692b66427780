"""The files of the page from memory: who comes for the first time asks for a hundred of them at once.

Streamlit opens each by threads, for each who asks; and the browser would hear of the programs that draw the first
page only when the words that need them have arrived. Here the document names them, so that they are there by then.
"""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

_DRAWN_BY = ("PageLink", "Html", "Checkbox", "Slider", "ButtonGroup")  # on the first page
_IMPORTED = re.compile(r"""(?:from|import)["']\./([\w.$-]+\.js)["']""")
_FOR_EVER = "public, immutable, max-age=31536000"  # a file's name has a digest of what is in it
_Answer = tuple[list[tuple[bytes, bytes]], bytes]


class Files:
    """Answers for each file below `static` and for the document at `/`; all else is the application's."""

    def __init__(self, app: ASGIApp, root: Path) -> None:
        self._app = app
        self._paths = {
            f"/{path.relative_to(root).as_posix()}": path for path in root.glob("static/**/*") if path.is_file()
        }
        self._kept = {"/": _answer(_document(root), "text/html; charset=utf-8", "no-cache")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer it, or have it answered."""
        answer = self._known(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        headers, body = answer
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _known(self, path: str) -> _Answer | None:
        if path not in self._kept and path in self._paths:
            kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
            self._kept[path] = _answer(self._paths[path].read_bytes(), kind, _FOR_EVER)
        return self._kept.get(path)


def _answer(body: bytes, kind: str, kept: str) -> _Answer:
    headers = {"content-type": kind, "content-length": str(len(body)), "cache-control": kept}
    return [(name.encode(), value.encode()) for name, value in headers.items()], body


def _document(root: Path) -> bytes:
    """Streamlit's, which also names the programs that draw the first page, and all that those import."""
    text = (root / "index.html").read_text()
    found: dict[str, None] = {}
    for name in _DRAWN_BY:
        for path in (root / "static" / "js").glob(f"{name}.*.js"):
            _follow(path, found)
    named = "".join(
        f'<link rel="modulepreload" crossorigin href="./static/js/{name}">' for name in found if name not in text
    )
    return text.replace("</head>", f"{named}</head>", 1).encode()


def _follow(path: Path, found: dict[str, None]) -> None:
    if path.name not in found and path.is_file():
        found[path.name] = None
        for name in _IMPORTED.findall(path.read_text()):
            _follow(path.parent / name, found)
