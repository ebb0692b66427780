"""What is done to consumers: how many there are, and one by one start, stop, drain."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from ui.parts import dialog
from ui.parts.dialog import Act
from ui.parts.words import plain
from ui.store import steering
from ui.store.door import Answer
from ui.store.undertakings import Author

_WHAT = {
    "Start": (steering.start, "It runs, and serves all queues unless it was wanted with others."),
    "Stop": (steering.stop, "What it runs has some seconds to finish, and is given back after them."),
    "Drain": (steering.let_go, "It ends when what it runs has ended, and claims nothing more."),
}


def show(queues: list[str]) -> None:
    """Below the list of consumers."""
    left, right = st.columns(2, gap="large")
    with left:
        _scale(queues)
    with right:
        _one()


def _scale(queues: list[str]) -> None:
    st.subheader("How many", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        count = st.number_input("Consumers", 0, len(steering.SLOTS), 2, key="scale-count", width=140)
        served = st.multiselect("that serve", queues, placeholder="all queues", key="scale-queues")
        if st.button("Scale", key="scale", type="primary"):
            dialog.ask("Scale consumers", partial(_draw_scale, int(count), served), "Scale")


def _draw_scale(count: int, queues: list[str]) -> Act:
    about = f"only {plain(', '.join(queues))}" if queues else "all queues"
    st.markdown(f"**{count}** consumers that serve {about}. Others stay as they are; idle ones are let go first.")
    return partial(steering.scale, count, queues)


def _one() -> None:
    st.subheader("One consumer", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Consumer", steering.SLOTS, key="consumer-which", width=220)
        for label, (verb, said) in _WHAT.items():
            if st.button(label, key=f"consumer-{label.lower()}"):
                dialog.ask(f"{label} a consumer", partial(_draw, name, verb, said), label)


def _draw(name: str, verb: Callable[[str, Author], Answer[int]], said: str) -> Act:
    st.markdown(f"**{plain(name)}**: {said}")
    return partial(verb, name)
