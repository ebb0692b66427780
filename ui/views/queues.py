"""Queues: what waits in each, who serves it, what holds it up."""

from __future__ import annotations

import streamlit as st

from ui.parts import links, session
from ui.parts.live import live, taken, told
from ui.parts.state import STATES, signed
from ui.parts.table import grid
from ui.parts.words import elapsed, plain
from ui.store import jobs, queues
from ui.store.queues import Outlook
from ui.views.admin import queueacts


def show() -> None:
    """The page."""
    st.title("Queues", anchor=False)
    live(_live, at_least=2.0)
    if session.who():
        queueacts.show(jobs.queue_names().value or [])
    links.command("pqfs queue list")


def _live() -> None:
    answer = queues.queues()
    if not told(answer) or answer.value is None:
        return
    found = answer.value
    is_served = any(each.consumers for each in found)
    for each in found:
        for word, sentence in each.troubles():
            if word == "unserved" and not is_served:
                continue  # nobody is: that is said above every page
            st.warning(f"**{plain(each.status.name)}** is {word}: {plain(sentence)}", icon=":material/pause_circle:")
    chosen = grid(
        "queues", _columns(found), [each.status.name for each in found], "No queue yet.", "Queues by name", "queue",
    )  # fmt: skip
    if chosen:
        links.go("jobs", queue=chosen)
    taken(answer, "A click on a queue shows its jobs.")


def _columns(found: tuple[Outlook, ...]) -> dict[str, list[object]]:
    return {
        "queue": [each.status.name for each in found],
        "is": [", ".join(word for word, _ in each.troubles()) or "open" for each in found],
        **{signed(state): [_jobs(each, state) for each in found] for state in STATES},
        "oldest wait": [elapsed(each.status.oldest_wait) for each in found],
        "consumers": [each.consumers for each in found],
        "priority": [each.priority for each in found],
        "set by people": [", ".join(sorted(each.wishes)) for each in found],
    }


def _jobs(outlook: Outlook, state: str) -> int:
    return {str(each): jobs for each, jobs in outlook.status.jobs.items()}.get(state, 0)
