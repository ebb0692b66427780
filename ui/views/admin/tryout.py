"""Try a queue by hand: put something in, look at what would run next, take it out."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ui.parts import dialog, links
from ui.parts.dialog import Act
from ui.parts.live import told
from ui.parts.preview import preview
from ui.parts.words import plain, size, when
from ui.store import jobs, upkeep
from ui.store.jobs import Job
from ui.store.upkeep import Order


def show() -> None:
    """The page."""
    st.title("Try a queue", anchor=False)
    with st.columns(3)[0]:
        queue = st.selectbox("Queue", jobs.queue_names().value or ["default"], key="try-queue")
    left, right = st.columns(2, gap="large")
    with left:
        _enqueue(queue)
    with right:
        _dequeue(queue)


def _enqueue(queue: str) -> None:
    st.subheader("Enqueue", anchor=False)
    st.caption("A small text becomes a job of this queue; its consumers run it like any other.")
    said = st.text_area("Text", value="hello", key="try-text", height=100)
    if st.button("Enqueue", key="try-enqueue", type="primary"):
        dialog.ask("Enqueue", partial(_draw_enqueue, queue, said), "Enqueue")


def _draw_enqueue(queue: str, said: str) -> Act:
    st.markdown(f"One job for queue {plain(queue)}.")
    return partial(upkeep.submit, [upkeep.text("tried.txt", said)], Order(queue))


def _dequeue(queue: str) -> None:
    st.subheader("Dequeue", anchor=False)
    st.caption("The job that would run next. Taken out, it is cancelled and its file kept; *Resubmit* puts it back.")
    answer = upkeep.head(queue)
    st.button("Look again", key="try-look", icon=":material/refresh:")
    if not told(answer) or answer.value is None:
        return
    job = answer.value
    st.markdown(f"**{plain(jobs.printable(job.name))}**, {size(job.size)}, arrived at {when(job.created_at)} UTC")
    seen = upkeep.beginning(job)
    if seen.value is not None:
        preview(seen.value, "Its file")
    links.link("job", f"Job {job.id}", job=job.id)
    if st.button("Dequeue it", key="try-dequeue"):
        dialog.ask("Dequeue", partial(_draw_dequeue, job), "Dequeue")


def _draw_dequeue(job: Job) -> Act:
    st.markdown(f"{plain(jobs.printable(job.name))} leaves queue {plain(job.queue)}, if it still waits.")
    return partial(upkeep.take_out, job)
