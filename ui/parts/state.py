"""A job's state: always a sign and a word beside the colour, for who does not see colours."""

from __future__ import annotations

from typing import Literal

import streamlit as st

Colour = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "grey", "primary"]

STATES = ("pending", "processing", "completed", "held", "failed", "unprocessable", "cancelled")
_LOOKS: dict[str, tuple[str, str, Colour]] = {
    "pending": (":material/schedule:", "◷", "blue"),
    "held": (":material/pause_circle:", "‖", "orange"),
    "processing": (":material/play_circle:", "▶", "violet"),
    "completed": (":material/check_circle:", "✓", "green"),
    "failed": (":material/error:", "✗", "red"),
    "unprocessable": (":material/dangerous:", "⊗", "red"),
    "cancelled": (":material/block:", "⊘", "gray"),
}
_UNKNOWN: tuple[str, str, Colour] = (":material/help:", "?", "gray")


def badge(state: str) -> None:
    """The state as a badge."""
    icon, _, colour = _LOOKS.get(state, _UNKNOWN)
    st.badge(state, icon=icon, color=colour)


def badged(state: str) -> str:
    """The same within a text."""
    icon, _, colour = _LOOKS.get(state, _UNKNOWN)
    return f":{colour}-badge[{icon} {state}]"


def signed(state: str) -> str:
    """The state as a word with its sign, for tables."""
    return f"{_LOOKS[state][1]} {state}" if state in _LOOKS else state


def colours() -> tuple[list[str], list[str]]:
    """All states with their signs, and the colour of each."""
    return [signed(each) for each in STATES], [_LOOKS[each][2] for each in STATES]
