"""What is done to queues: create, pause, resume, drain, purge, set, delete."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ui.parts import dialog
from ui.parts.dialog import Act
from ui.parts.live import told
from ui.parts.words import counted, plain
from ui.store import steering

_HOW_SAID = (
    "otherwise it stays as it is",
    "it takes nothing in meanwhile; what is held, has failed or was cancelled must be gone",
    "its waiting, failed and cancelled jobs are deleted with their files; what runs is waited for",
)


def show(names: list[str]) -> None:
    """Below the list of queues."""
    st.subheader("Act on a queue", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Queue", names, key="queue-which", width=220)
        if st.button("Pause", key="queue-pause", disabled=not name):
            dialog.ask("Pause a queue", partial(_draw_pause, name), "Pause")
        if st.button("Resume", key="queue-resume", disabled=not name):
            dialog.ask("Resume a queue", partial(_draw_resume, name), "Resume")
        if st.button("Drain", key="queue-drain", disabled=not name):
            dialog.ask("Drain a queue", partial(_draw_drain, name), "Drain")
        if st.button("Purge", key="queue-purge", disabled=not name):
            dialog.ask("Purge a queue", partial(_draw_purge, name), "Purge", "purge")
        if st.button("Delete", key="queue-delete", disabled=not name):
            dialog.ask("Delete a queue", partial(_draw_delete, name), "Delete", "delete")
        if st.button("Create a queue", key="queue-create", type="primary"):
            dialog.ask("Create a queue", _draw_create, "Create")
    if name:
        _settings(name)


def _draw_pause(name: str) -> Act:
    st.markdown(f"Nothing of queue {plain(name)} is claimed. What runs goes on, files are still taken in.")
    period = st.text_input("For", placeholder="2h; empty: until it is resumed", key="ask-value", max_chars=20)
    return partial(steering.pause, name, period)


def _draw_resume(name: str) -> Act:
    st.markdown(f"Queue {plain(name)} is claimed from again, and takes files in.")
    return partial(steering.resume, name)


def _draw_drain(name: str) -> Act:
    st.markdown(f"Queue {plain(name)} takes nothing in until it is resumed, and what waits in it is worked off.")
    st.caption("What waits for its time is waited for, too; what is held stays. Stopped, it stays closed.")
    return partial(steering.drain, name)


def _draw_purge(name: str) -> Act | None:
    found = steering.waiting(name)
    if not told(found) or found.value is None:
        return None
    st.markdown(f"**{counted(found.value, 'waiting job')}** of queue {plain(name)} would go, with their files.")
    st.caption("What runs goes on. Who did it stays in the audit.")
    return partial(steering.purge, name) if found.value else None


def _draw_delete(name: str) -> Act:
    st.markdown(f"Queue {plain(name)} goes. Its outputs, and the history of completed jobs, stay.")
    how = st.radio("How", steering.HOW, key="ask-value", captions=_HOW_SAID)
    return partial(steering.delete, name, how)


def _draw_create() -> Act:
    st.caption("Its handler stands in pqfs.toml; without a section there it is that of [defaults].")
    name = st.text_input("Name", key="ask-value", max_chars=32, placeholder="a-z, 0-9, - and _")
    return partial(steering.create, name.strip())


def _settings(name: str) -> None:
    answer = steering.settings_of(name)
    if not told(answer) or answer.value is None:
        return
    with st.expander(f"Settings of queue {plain(name)}"):
        columns = {key: [row[key] for row in answer.value] for key in ("setting", "value", "origin")}
        st.dataframe(columns, hide_index=True, alt=f"Settings of queue {name}")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            setting = st.selectbox("Setting", steering.SETTINGS, key="queue-setting", width=220)
            if st.button("Set it", key="queue-set"):
                dialog.ask("Set a value", partial(_draw_set, name, setting), "Set")


def _draw_set(name: str, setting: str) -> Act:
    st.markdown(f"{plain(setting)} of queue {plain(name)}, over pqfs.toml, at once and for good.")
    value = st.text_input("Value", key="ask-value", max_chars=100, placeholder="as in pqfs.toml; empty takes it back")
    return partial(steering.set_value, name, setting, value)
