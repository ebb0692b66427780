"""Consumers: whether each is alive, what it runs now, for how long, and how far it is."""

from __future__ import annotations

import streamlit as st

from ui.parts import links, session
from ui.parts.live import live, taken, told
from ui.parts.table import grid
from ui.parts.words import elapsed, when
from ui.store import jobs, queues
from ui.store.queues import ConsumerStatus
from ui.views.admin import fleet


def show() -> None:
    """The page."""
    st.title("Consumers", anchor=False)
    live(_live)
    if session.who():
        fleet.show(jobs.queue_names().value or [])
    links.command("pqfs consumers list")


def _live() -> None:
    answer = queues.registered()
    if not told(answer) or answer.value is None:
        return
    found = answer.value
    alive = sum(each.is_alive for each in found)
    st.markdown(f"**{alive} alive**, {sum(each.running is not None for each in found)} run a job.")
    chosen = grid(
        "consumers", _columns(found), [_target(each) for each in found],
        "No consumer is registered. Start pqfs: `pqfs up`", "Consumers by name", "consumer",
        {"progress": st.column_config.ProgressColumn("progress", min_value=0.0, max_value=1.0, format="percent")},
    )  # fmt: skip
    if chosen and not chosen.startswith("idle "):
        links.open_job(chosen)
    taken(answer, "A click on a consumer opens the job that it runs.")


def _target(consumer: ConsumerStatus) -> str:
    return consumer.running.job if consumer.running else f"idle {consumer.owner}"


def _columns(found: tuple[ConsumerStatus, ...]) -> dict[str, list[object]]:
    return {
        "consumer": [each.program for each in found],
        "is": ["✓ alive" if each.is_alive else f"✗ {each.life.value}" for each in found],
        "last beat": [f"{elapsed(max(0.0, each.silent))} ago" for each in found],
        "runs": [(each.running.name or each.running.job) if each.running else "idle" for each in found],
        "for": [elapsed(each.running.seconds) if each.running else "" for each in found],
        "progress": [each.running.progress if each.running else None for each in found],
        "attempt": [str(each.running.attempt) if each.running else "" for each in found],
        "completed": [each.completed for each in found],
        "queues": ["all" if each.queues is None else ", ".join(each.queues) for each in found],
        "pid": [each.pid for each in found],
        "started (UTC)": [when(each.started_at) for each in found],
    }
