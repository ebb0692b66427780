"""The audit trail: who did what, when and why, newest first; and whether it is what was recorded."""

from __future__ import annotations

import streamlit as st

from ui.parts import links
from ui.parts.filters import asked, put, word
from ui.parts.live import taken, told
from ui.parts.table import grid
from ui.parts.words import counted, plain, short, when
from ui.store import upkeep
from ui.store.upkeep import Record

_FILTERS = ("by", "verb", "since")


def show() -> None:
    """The page."""
    st.title("Audit trail", anchor=False)
    columns = st.columns(4, vertical_alignment="bottom")
    hints = ("ann, or console:ann", "cancel", "7d, or 2026-11-22")
    for name, label, hint, column in zip(_FILTERS, ("By", "Verb", "Since"), hints, columns, strict=False):
        with column:
            word(label, name, hint, resets=("below",))
    with columns[3]:
        verify = st.button("Verify the chain", key="verify")
    if verify:
        _verify()
    _events()
    links.command("pqfs audit list --since 7d")


def _verify() -> None:
    answer = upkeep.verify()
    if not told(answer) or answer.value is None:
        return
    found = answer.value
    if found.wrong:
        st.error(plain(found.wrong), icon=":material/report:")
    else:
        st.success(f"{counted(found.events, 'event')} fit. The hash of the newest: {found.head or 'none'}")


def _events() -> None:
    answer = upkeep.events(asked("by"), asked("verb"), asked("since"), asked("below"))
    if not told(answer) or answer.value is None:
        return
    found = answer.value
    chosen = grid(
        "events", _columns(found), [f"{each.id} {each.job or ''}" for each in found], "No event fits.",
        "Events, newest first", "job", {"change": st.column_config.TextColumn(width="large")},
    )  # fmt: skip
    if chosen and (job := chosen.partition(" ")[2]):
        links.go("job", job=job)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Newest", on_click=put, kwargs={"below": ""}, disabled=not asked("below"), key="newest-events")
        below = str(found[-1].id) if len(found) == upkeep.EVENTS else ""
        st.button("Older", on_click=put, kwargs={"below": below}, disabled=not below, key="older-events")
        taken(answer, f"{counted(len(found), 'event')}. A click on a job opens it.")


def _columns(found: list[Record]) -> dict[str, list[object]]:
    return {
        "number": [each.id for each in found],
        "when (UTC)": [when(each.at) for each in found],
        "who": [each.actor for each in found],
        "what": [each.verb for each in found],
        "job": [each.job or "" for each in found],
        "queue": [each.queue or "" for each in found],
        "change": [_change(each) for each in found],
        "why": [short(each.reason, 300) for each in found],
    }


def _change(each: Record) -> str:
    if each.before and each.after:
        return f"{short(each.before, 200)} → {short(each.after, 200)}"
    return short(each.before or each.after, 300)
