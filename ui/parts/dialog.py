"""One question before anything is changed: what would happen, to how many, why; and then the report.

What is asked stands in the session and is drawn by the page itself, not by the part in which the button is: so a
refresh can not close it. While it is open nothing refreshes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import streamlit as st

from ui.parts import session
from ui.parts.words import elapsed, plain
from ui.store import undertakings
from ui.store.door import Answer
from ui.store.undertakings import Author, Report

Act = Callable[[Author], Answer[int]]


@dataclass(frozen=True, slots=True)
class Ask:
    """A question. `draw` says what would be done, asks for what is needed, and answers with the act, if it can be.

    `word` must be typed first, where nothing brings back what is gone.
    """

    title: str
    draw: Callable[[], Act | None]
    label: str
    word: str = ""


def ask(title: str, draw: Callable[[], Act | None], label: str, word: str = "") -> NoReturn:
    """Ask it."""
    st.session_state["ask"] = Ask(title, draw, label, word)
    st.rerun()


def is_open() -> bool:
    """Whether a question waits for its answer."""
    return "ask" in st.session_state


def drawn() -> None:
    """Draw the question that is asked, if there is one; drawn once by each page."""
    question: Ask | None = st.session_state.get("ask")
    if question is None:
        return
    if session.who() is None:
        _forget()
        return
    st.dialog(question.title, width="medium", on_dismiss=_forget)(lambda: _dialog(question))()


def _dialog(question: Ask) -> None:
    act = question.draw()
    reason = st.text_input("Reason", key="ask-reason", max_chars=500, help="Kept in the audit trail.")
    word = ""
    if question.word:
        st.caption(f"Nothing brings it back. Type **{question.word}** to go on.")
        word = st.text_input("Word", key="ask-word", max_chars=40, label_visibility="collapsed")
    with st.container(horizontal=True):
        wanted = st.button(question.label, type="primary", key="ask-do", disabled=act is None)
        if st.button("Leave it", key="ask-leave"):
            _forget()
            st.rerun()
    if wanted and act is not None:
        if word.strip() != question.word:
            st.error(f"Type {question.word} first.", icon=":material/edit:")
        else:
            _do(act, reason)


def _do(act: Act, reason: str) -> None:
    name = session.who()
    if name is None:
        _forget()
        st.rerun()
    answer = act(Author(name, reason.strip() or None))
    if answer.value is None:
        st.error(plain(f"{answer.problem} {answer.hint}".strip()), icon=":material/report:")
        return
    st.session_state["report"] = answer.value
    _forget()
    st.rerun()


def _forget() -> None:
    for key in [key for key in st.session_state if str(key).partition("-")[0] == "ask"]:
        st.session_state.pop(key, None)


# -------------------------------------------------------------------- the report


def reported() -> None:
    """Above the page: what became of the last thing that was asked for."""
    number = st.session_state.get("report")
    found = undertakings.report(number) if number else None
    if found is not None:
        st.fragment(lambda: _report(found.number, found.is_running), run_every=0.5 if found.is_running else None)()


def _report(number: int, was_running: bool) -> None:
    found = undertakings.report(number)
    if found is None:
        return
    if was_running and not found.is_running:
        st.rerun()
    with st.container(border=True, key="report"):
        _told(found)
        with st.container(horizontal=True):
            if found.is_running:
                st.button("Stop", on_click=undertakings.stop, args=(number,), key="report-stop")
            st.button("Dismiss", on_click=_dismiss, key="report-dismiss")


def _told(found: Report) -> None:
    head = f"**{plain(found.title)}**"
    if found.is_running:
        st.info(f"{head}: {found.done:,} done, {found.skipped:,} skipped so far.", icon=":material/hourglass_top:")
    elif found.problem:
        st.error(f"{head}: {plain(f'{found.problem} {found.hint}'.strip())}", icon=":material/report:")
    else:
        took = elapsed((found.ended_at or found.began_at) - found.began_at)
        show = st.warning if found.skipped else st.success
        icon = ":material/rule:" if found.skipped else ":material/check_circle:"
        show(f"{head}: {plain(found.said)} It took {took}.", icon=icon)
    if found.skipped:
        with st.expander(f"{found.skipped:,} skipped, and why", expanded=found.skipped <= 5):
            st.code("\n".join(f"{what}: {why}" for what, why in found.named), language=None, wrap_lines=True)


def _dismiss() -> None:
    st.session_state.pop("report", None)
