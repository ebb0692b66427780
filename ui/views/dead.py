"""Dead letters, grouped by what went wrong: numbers, names and paths in an error do not part two of a kind."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ui.parts import dialog, links, session
from ui.parts.dialog import Act
from ui.parts.filters import asked, choice
from ui.parts.live import live, taken, told
from ui.parts.table import grid
from ui.parts.words import counted, plain, short, when
from ui.store import acts, jobs, letters
from ui.store.acts import Care
from ui.store.letters import Group


def show() -> None:
    """The page."""
    st.title("Dead letters", anchor=False)
    with st.columns(3)[0]:
        choice("Queue", "queue", jobs.queue_names().value or [], resets=())
    live(_live, at_least=5.0)
    if session.who():
        _acts()
    links.command("pqfs dead list")


def _live() -> None:
    answer = letters.groups(asked("queue") or None)
    if not told(answer) or answer.value is None:
        return
    found = answer.value
    chosen = grid(
        "groups", _columns(found), [f"{each.fingerprint} {each.queue}" for each in found],
        "No job has failed for good.", "Errors, the most frequent first", "error",
        {"error": st.column_config.TextColumn(width="large")},
    )  # fmt: skip
    if chosen:
        group, _, queue = chosen.partition(" ")
        links.go("jobs", group=group, queue=queue)
    capped = f" Only the {letters.MOST_GROUPS} largest groups are shown." if len(found) >= letters.MOST_GROUPS else ""
    taken(answer, f"{counted(len(found), 'group')}. A click on an error shows its jobs.{capped}")


def _columns(found: list[Group]) -> dict[str, list[object]]:
    return {
        "jobs": [each.count for each in found],
        "queue": [each.queue for each in found],
        "error": [short(each.error or "no reason was given", 300) for each in found],
        "first (UTC)": [when(each.first_at) for each in found],
        "last (UTC)": [when(each.last_at) for each in found],
        "group": [each.fingerprint for each in found],
    }


# -------------------------------------------------------------------- acts


def _acts() -> None:
    found = {f"{each.fingerprint} {each.queue}": each for each in letters.groups(asked("queue") or None).value or ()}
    if not found:
        return
    st.subheader("Act on a group", anchor=False)
    name = st.selectbox("Group", list(found), format_func=lambda each: _said(found[each]), key="dead-group")
    with st.container(horizontal=True):
        if st.button("Redrive", key="dead-redrive", type="primary"):
            dialog.ask("Redrive dead letters", partial(_draw_redrive, found[name]), "Redrive")
        if st.button("Purge", key="dead-purge"):
            dialog.ask("Purge dead letters", partial(_draw_purge, found[name]), "Purge", "purge")


def _said(group: Group) -> str:
    return f"{counted(group.count, 'job')} of queue {group.queue}: {short(group.error or 'no reason was given')}"


def _draw_redrive(group: Group) -> Act:
    st.markdown(plain(_said(group)))
    st.caption("They wait again with fresh budgets; their history stays.")
    rate = st.text_input("Rate", placeholder="10/s, 100/m; empty: all at once", key="ask-value", max_chars=20)
    canary = st.checkbox("One first; the rest only if it is completed", key="ask-canary")
    return partial(acts.redrive, group.fingerprint, group.queue, Care(rate, canary))


def _draw_purge(group: Group) -> Act:
    st.markdown(plain(_said(group)))
    st.caption("Inputs, rows and attempts are removed; what was done to them stays in the audit.")
    return partial(acts.purge, group.fingerprint, group.queue)
