"""Submit: files from this computer, or a text, become jobs."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ui.parts import dialog, links
from ui.parts.dialog import Act
from ui.parts.words import counted, plain
from ui.store import jobs, upkeep
from ui.store.upkeep import Given, Order


def show() -> None:
    """The page."""
    st.title("Submit", anchor=False)
    st.caption("It survives anything as soon as its job's id is shown. Folders: copy them into the inbox.")
    order = _order()
    left, right = st.columns(2, gap="large")
    with left:
        _files(order)
    with right:
        _text(order)
    links.command(f"pqfs submit -q {order.queue} FILE")


def _order() -> Order:
    columns = st.columns(4)
    with columns[0]:
        queue = st.selectbox("Queue", jobs.queue_names().value or ["default"], key="submit-queue")
    with columns[1]:
        priority = st.text_input("Priority", placeholder="the queue's", key="submit-priority", max_chars=12)
    with columns[2]:
        delay = st.text_input("Delay", placeholder="10m", key="submit-delay", max_chars=20)
    with columns[3]:
        key = st.text_input("Key", placeholder="against duplicates", key="submit-key", max_chars=200)
    return Order(queue, priority, delay, key)


def _files(order: Order) -> None:
    st.subheader("Files", anchor=False)
    found = st.file_uploader("Files", accept_multiple_files=True, key="submit-files", label_visibility="collapsed")
    given = [Given(each.name, each) for each in found or ()]
    if st.button(f"Submit {counted(len(given), 'file')}", key="submit-do", type="primary", disabled=not given):
        names = ", ".join(each.name for each in given[:5])
        dialog.ask("Submit", partial(_draw, given, order, names), "Submit")


def _text(order: Order) -> None:
    st.subheader("A text", anchor=False)
    name = st.text_input("Its name", value="text.txt", key="submit-name", max_chars=200)
    said = st.text_area("Text", key="submit-text", height=160)
    if st.button("Submit the text", key="submit-text-do", type="primary"):
        dialog.ask("Submit", partial(_draw, [upkeep.text(name, said)], order, name), "Submit")


def _draw(given: list[Given], order: Order, names: str) -> Act:
    st.markdown(f"**{counted(len(given), 'file')}** to queue {plain(order.queue)}: {plain(names)}")
    return partial(upkeep.submit, given, order)
