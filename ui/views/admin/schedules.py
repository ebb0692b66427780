"""Schedules, as a part of Upkeep: what is due when, what became of the last time, and what to do about it."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ui.parts import dialog, links
from ui.parts.dialog import Act
from ui.parts.live import told
from ui.parts.table import table
from ui.parts.words import plain
from ui.store import timing

_COLUMNS = ("name", "cron", "zone", "queue", "next_at", "last_at", "state", "trouble")
_ACTS = {"Run now": timing.run, "Pause": timing.pause, "Resume": timing.resume, "Remove": timing.remove}
_MEANT = {
    "Run now": "A job is made of it now; its due times stay as they are.",
    "Pause": "Its due times pass without a job.",
    "Resume": "It goes on with its next due time; what passed meanwhile is not made up for.",
    "Remove": "It is forgotten. The jobs that it has made stay.",
}


def show() -> None:
    """The part of the page."""
    st.subheader("Schedules", anchor=False)
    answer = timing.schedules()
    if not told(answer) or answer.value is None:
        return
    rows = [
        tuple("paused" if key == "next_at" and each["paused_at"] else _cell(each[key]) for key in _COLUMNS)
        for each in answer.value
    ]
    table(("name", "cron", "zone", "queue", "next", "last", "its job", "trouble"), rows, "None yet.", "Schedules")
    left, right = st.columns(2, gap="large")
    with left:
        _steer([str(each["name"]) for each in answer.value])
    with right:
        _add()
    links.command("pqfs schedule list")


def _cell(value: object) -> str:
    return "" if value is None else plain(str(value))


def _steer(names: list[str]) -> None:
    if not names:
        st.caption("Once there is one, it is paused, run and removed here.")
        return
    name = st.selectbox("Schedule", names, key="schedule-name")
    act = st.selectbox("What to do", list(_ACTS), key="schedule-act")
    if st.button("Do it", key="schedule-do"):
        dialog.ask(f"{act}: {name}", partial(_draw_act, name, act), act)


def _draw_act(name: str, act: str) -> Act:
    st.markdown(f"**{plain(name)}**: {_MEANT[act]}")
    return partial(_ACTS[act], name)


def _add() -> None:
    name = st.text_input("Name", max_chars=32, key="schedule-new")
    cron = st.text_input("Cron expression", "0 2 * * *", max_chars=200, key="schedule-cron")
    zone = st.text_input("Time zone", "UTC", max_chars=100, key="schedule-zone")
    queue = st.text_input("Queue", "default", max_chars=32, key="schedule-queue")
    text = st.text_area("Payload", max_chars=10_000, key="schedule-text")
    if st.button("Add", key="schedule-add", disabled=not name):
        dialog.ask("Add a schedule", partial(_draw_add, name, cron, zone, text, queue), "Add")


def _draw_add(name: str, cron: str, zone: str, text: str, queue: str) -> Act:
    st.markdown(
        f"A job of this text is made for queue {plain(queue)} at each due time of {plain(cron)} ({plain(zone)})."
    )
    return partial(timing.add, name, cron, zone, text, queue)
