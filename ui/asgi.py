"""The console as one application: the pages that Streamlit draws, and the routes that keep somebody signed in."""

from __future__ import annotations

from pathlib import Path

from streamlit.starlette import App

from ui import cookie

app = App(Path(__file__).resolve().with_name("app.py"), routes=cookie.routes())
