"""Settings: every value with where it came from. They are changed in pqfs.toml; queues' own on the page Queues."""

from __future__ import annotations

import streamlit as st

from ui.parts import links
from ui.parts.live import told
from ui.store import upkeep


def show() -> None:
    """The page."""
    st.title("Settings", anchor=False)
    st.caption("As they are in force. Which code runs stands in pqfs.toml only: no screen changes it.")
    only = st.toggle("Only what is not a default", value=False, key="settings-only")
    answer = upkeep.settings()
    if told(answer) and answer.value is not None:
        rows = [row for row in answer.value if not only or row["origin"] != "default"]
        if rows:
            columns = {name: [row[name] for row in rows] for name in ("setting", "value", "origin")}
            st.dataframe(columns, hide_index=True, height=600, alt="Settings with their origins")
        else:
            st.caption("Everything is as it comes.")
    links.command("pqfs config show")
