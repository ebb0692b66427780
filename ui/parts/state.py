"""A job's state: always an icon and a word beside the colour, for who does not see colours."""

from __future__ import annotations

from typing import Literal

import streamlit as st

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "grey", "primary"]

_LOOKS: dict[str, tuple[str, Colour]] = {
    "pending": (":material/schedule:", "blue"),
    "held": (":material/pause_circle:", "orange"),
    "processing": (":material/play_circle:", "violet"),
    "completed": (":material/check_circle:", "green"),
    "failed": (":material/error:", "red"),
    "unprocessable": (":material/dangerous:", "red"),
    "cancelled": (":material/block:", "gray"),
}


def badge(state: str) -> None:
    """The state as a badge."""
    icon, colour = _LOOKS.get(state, (":material/help:", "gray"))
    st.badge(state, icon=icon, color=colour)


def count(state: str, jobs: int) -> None:
    """A state and how many jobs are in it."""
    with st.container(border=True, key=f"count-{state}"):
        badge(state)
        st.markdown(f"#### {jobs:,}", anchors=False)
