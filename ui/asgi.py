"""The console as one application: the pages that Streamlit draws, and the routes that keep somebody signed in."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware
from streamlit.file_util import get_static_dir
from streamlit.starlette import App

from ui import cookie
from ui.files import Files


@asynccontextmanager
async def _light(app: App) -> AsyncIterator[dict[str, Any]]:
    """Streamlit looks for garbage after each run of a page: it need not look through all that is loaded for good.

    That took most of a run's time, and of the time that a refresh takes.
    """
    gc.collect()
    gc.freeze()
    yield {}


app = App(
    Path(__file__).resolve().with_name("app.py"),
    routes=cookie.routes(),
    middleware=[Middleware(Files, Path(get_static_dir()))],
    lifespan=_light,
)
