"""Rejected: what could not become a job, with the reason. Nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from ui.parts import dialog, links, session
from ui.parts.dialog import Act
from ui.parts.filters import asked, put
from ui.parts.live import live, taken, told
from ui.parts.preview import preview
from ui.parts.table import grid
from ui.parts.words import counted, plain, short, size, when
from ui.store import letters, steering, tree
from ui.store.door import Answer
from ui.store.letters import Refusal
from ui.store.undertakings import Author


def show() -> None:
    """The page."""
    st.title("Rejected", anchor=False)
    live(_live, at_least=5.0)
    if session.who():
        _acts((), "all")
    if number := asked("number"):
        _one(number)


def _live() -> None:
    answer = letters.refused(asked("after"))
    if not told(answer) or answer.value is None:
        return
    page = answer.value
    chosen = grid(
        "rejected", _columns(page.refusals), [each.number for each in page.refusals],
        "Nothing was refused." if not asked("after") else "There are no more.", "Refused files, by number", "name",
        {"reason": st.column_config.TextColumn(width="large")},
    )  # fmt: skip
    if chosen:
        put(number=chosen)
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("First", on_click=put, kwargs={"after": ""}, disabled=not asked("after"), key="first")
        if st.button("Next", disabled=page.next is None, key="next"):
            put(after=page.next or "")
            st.rerun()
        taken(answer, f"{len(page.refusals)} of {page.count:,}, by number. A click on a name shows it.")


def _columns(found: tuple[Refusal, ...]) -> dict[str, list[object]]:
    return {
        "refused (UTC)": [when(each.at) for each in found],
        "name": [each.name for each in found],
        "queue": [each.queue for each in found],
        "size": [size(each.size) for each in found],
        "reason": [short(each.reason, 300) for each in found],
        "job": [each.job or "" for each in found],
        "number": [each.number for each in found],
    }


def _one(number: str) -> None:
    found = letters.refusal(number)
    if not told(found) or found.value is None:
        return
    refused = found.value
    st.subheader(plain(refused.name), anchor=False)
    st.markdown(f"Refused at {when(refused.at)} UTC: {plain(refused.reason)}")
    if refused.job:
        links.link("job", f"It belongs to job {refused.job}", job=refused.job)
    if refused.path:
        seen = tree.beginning(letters.printable_path(refused.path))
        if told(seen) and seen.value is not None:
            preview(seen.value, "What was refused")
    else:
        st.caption("What was refused is not here any more.")
    if session.who():
        _acts((refused.number,), "this")
    st.caption("Put it back into the inbox, or remove it for good:")
    st.code(f"pqfs rejected retry {refused.number}\npqfs rejected purge {refused.number}", language=None)


def _acts(numbers: tuple[str, ...], which: str) -> None:
    with st.container(horizontal=True):
        if st.button(f"Retry {which}", key=f"rejected-retry-{which}"):
            dialog.ask("Put back into the inbox", partial(_draw, numbers, steering.readmit), "Retry")
        if st.button(f"Purge {which}", key=f"rejected-purge-{which}"):
            dialog.ask("Remove for good", partial(_draw, numbers, steering.purge_rejected), "Purge", "purge")


def _draw(numbers: tuple[str, ...], verb: Callable[[Sequence[str], Author], Answer[int]]) -> Act:
    count = len(numbers) or (page.count if (page := letters.refused("").value) else 0)
    st.markdown(f"**{counted(count, 'refused file')}**")
    return partial(_do, numbers, verb)


def _do(
    numbers: tuple[str, ...], verb: Callable[[Sequence[str], Author], Answer[int]], author: Author
) -> Answer[int]:
    return verb(numbers, author)
