"""What somebody who has signed in can do to jobs: to one, to those that he chose, to all that a filter shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from ui.parts import dialog, session
from ui.parts.dialog import Act
from ui.parts.words import counted, number, plain
from ui.store import acts, anew, jobs
from ui.store.acts import Scope
from ui.store.anew import Edit
from ui.store.jobs import Job
from ui.store.upkeep import Given, Order

_HELP = {
    "Priority": "A whole number; higher runs first.",
    "Reschedule": "now, 2h (from now), or 2026-11-22T10:00:00Z",
    "Assign": "One consumer alone is to run it.",
}
_ANYBODY = "all consumers of its queue"


def of_job(job: Job) -> None:
    """The acts that this job's state allows, as buttons."""
    if session.who() is None:
        return
    possible = [label for label in acts.LABELS if job.state in acts.states_for(label)]
    with st.container(horizontal=True, key="acts"):
        for label in possible:
            if st.button(label, key=f"act-{label}"):
                if label == "Edit":
                    dialog.ask("Edit a job", partial(_draw_edit, job), "Make the new job")
                ask(label, acts.chosen([job]))


def of_many(chosen: list[Job], everything: Callable[[], Scope]) -> None:
    """An act for those that were chosen, and for all in the filter."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="acts"):
        label = st.selectbox("Act", acts.OF_MANY, key="act", width=220)
        some = counted(len(chosen), "chosen job")
        if st.button(f"{label} {some}", key="act-chosen", disabled=not chosen):
            ask(label, acts.chosen(chosen))
        if st.button(f"{label} all in this filter", key="act-all"):
            ask(label, everything())


def ask(label: str, scope: Scope) -> None:
    """Ask whether it is meant."""
    word = label.split()[0].lower() if label in acts.FINAL_ONES and not scope.is_one else ""
    dialog.ask(f"{label}?", partial(_draw, label, scope), f"Yes, {label.lower()}", word)


def _draw(label: str, scope: Scope) -> Act | None:
    found = acts.prospect(label, scope)
    if found.value is None:
        st.error(plain(f"{found.problem} {found.hint}"))
        return None
    would = found.value
    st.markdown(
        f"**{number(would.would, would.is_capped)} {'job' if would.would == 1 else 'jobs'}** would be affected."
    )
    if would.first:
        more = ", …" if would.would > len(would.first) else ""
        st.caption(plain(", ".join(would.first)) + more)
    for state, count in would.passed:
        st.caption(f"{counted(count, 'job')} {state} would be passed over: this is not for them.")
    if label == "Replay":
        st.caption("New jobs of the inputs that are still kept. What was made anew before is passed over.")
        return partial(anew.replay, scope) if would.would else None
    value = _value(label)
    return partial(acts.on_jobs, label, value, scope) if would.would else None


def _draw_edit(job: Job) -> Act:
    """A new job of this one: what stays empty is as it was."""
    st.caption("A new job like this one, which stays as it is.")
    names = jobs.queue_names().value or [job.queue]
    left, middle, right = st.columns(3)
    with left:
        queue = st.selectbox(
            "Queue", names, index=names.index(job.queue) if job.queue in names else 0, key="ask-queue"
        )
    with middle:
        priority = st.text_input("Priority", placeholder=str(job.priority), key="ask-priority", max_chars=12)
    with right:
        delay = st.text_input("Delay", placeholder="10m", key="ask-value", max_chars=20)
    given = st.file_uploader("Another content (empty: its own input)", key="ask-file")
    content = Given(jobs.printable(job.name), given) if given else None
    return partial(anew.edit, job, Edit(Order(queue, priority, delay), content))


def _value(label: str) -> str:
    """What goes with it, as it was written; whether it can be is told when it is done."""
    if label not in _HELP:
        return ""
    if label == "Assign":
        found = st.selectbox(
            "Consumer", [_ANYBODY, *(acts.programs().value or [])], key="ask-value", help=_HELP[label]
        )
        return "" if found == _ANYBODY else found
    text = st.text_input(label, key="ask-value", placeholder=_HELP[label], max_chars=40).strip()
    if label == "Reschedule" and (instant := acts.told_instant(text) if text else ""):
        st.caption(f"No sooner than at {instant}.")
    return text
