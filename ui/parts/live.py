"""What is alive on a page: how often it looks again, how old its numbers are, and that nothing runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import streamlit as st

from ui.parts.words import hour, plain
from ui.store.door import Answer
from ui.store.overview import look

PACES = {"1 s": 1.0, "2 s": 2.0, "5 s": 5.0, "15 s": 15.0, "60 s": 60.0}
_OLD = 10.0  # seconds after which a number's age is told


def controls() -> None:
    """Pause, and the pace, for all pages."""
    st.toggle("Refresh", value=True, key="refresh", help="Off: the page stays as it is.")
    st.select_slider("every", list(PACES), value="2 s", key="pace", label_visibility="collapsed")


def pace(at_least: float = 0.0) -> float | None:
    """Seconds between two looks; None while refresh is off, or a question waits for its answer."""
    if not st.session_state.get("refresh", True) or "ask" in st.session_state:
        return None
    return max(at_least, PACES[st.session_state.get("pace", "2 s")])


def live(draw: Callable[[], None], at_least: float = 0.0) -> None:
    """Draw a part of a page, again and again, and nothing else with it."""
    st.fragment(draw, run_every=pace(at_least))()


def taken(answer: Answer[Any], about: str = "") -> None:
    """When the numbers were taken."""
    age = time.time() - answer.at
    old = f", {age:.0f} s ago" if age > _OLD else ""
    paused = "" if st.session_state.get("refresh", True) else " Refresh is off."
    st.caption(f"{about}{' ' if about else ''}Taken at {hour(answer.at)}{old}.{paused}")


def told(answer: Answer[Any]) -> bool:
    """Whether there is an answer; the person is told why, where there is none."""
    if answer.value is not None:
        return True
    st.info(f"{plain(answer.problem)} {plain(answer.hint)}".strip(), icon=":material/hourglass_empty:")
    return False


def banner() -> None:
    """Above every page: that nothing runs, or that the index can not be read."""
    seen = look()
    if seen.value is None:
        st.error(f"{plain(seen.problem)} {plain(seen.hint)}".strip(), icon=":material/report:")
    elif not seen.value.is_running:
        st.warning("pqfs does not run on this spool. Start it with `pqfs up`.", icon=":material/stop_circle:")
