"""The console's navigation. Start it with `pqfs ui`, or: python -m streamlit run ui/app.py."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

# Streamlit puts this file's own directory on the import path; the package `ui` lies one above it.
if (home := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.insert(0, home)

from ui.views import overview

st.set_page_config(page_title="pqfs", layout="wide")
# No icon: Streamlit would have the browser fetch it as the favicon, from a host outside.
st.navigation([st.Page(overview.show, title="Overview", default=True)]).run()
