"""Dead letters, grouped by what went wrong: numbers, names and paths in an error do not part two of a kind."""

from __future__ import annotations

import streamlit as st

from ui.parts import links
from ui.parts.filters import asked, choice
from ui.parts.live import live, taken, told
from ui.parts.table import grid
from ui.parts.words import counted, short, when
from ui.store import jobs, letters
from ui.store.letters import Group


def show() -> None:
    """The page."""
    st.title("Dead letters", anchor=False)
    with st.columns(3)[0]:
        choice("Queue", "queue", jobs.queue_names().value or [], resets=())
    live(_live, at_least=5.0)
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
