"""The first page: what waits, what runs, what came out, what needs a person; beside it the tree of the spool."""

from __future__ import annotations

import time

import streamlit as st

from pqfs.health import NOT_RUNNING, Severity
from ui.parts.state import count
from ui.parts.table import elapsed, plain, size, table
from ui.store import Branch, Look, look

_STATES = ("pending", "processing", "completed", "held", "failed", "unprocessable", "cancelled")
_BLANK = "\N{EM SPACE}"


def show() -> None:
    """The page."""
    st.title("Overview", anchor=False)
    _live()


@st.fragment(run_every=2)
def _live() -> None:
    seen = look()
    _head(seen)
    _alarms(seen)
    _counts(seen)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _consumers(seen)
        _outputs(seen)
        _queues(seen)
    with right:
        _tree(seen)


def _head(seen: Look) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="life"):
        if seen.is_running:
            st.badge("running", icon=":material/check_circle:", color="green")
        else:
            st.badge("stopped", icon=":material/stop_circle:", color="red")
        st.caption(f"spool {plain(str(seen.spool))}, looked at {time.strftime('%H:%M:%S')}")
    if seen.overview is None:
        st.info(f"{plain(seen.problem)} {plain(seen.hint)}", icon=":material/hourglass_empty:")
    elif not seen.is_running:
        st.warning("pqfs does not run on this spool. Start it with `pqfs up`.", icon=":material/stop_circle:")


def _alarms(seen: Look) -> None:
    """What needs a person, then what is worth knowing. That nothing runs is said above."""
    for each in seen.findings:
        said = f"**{plain(each.name)}** {plain(each.sentence)} {plain(each.hint)}"
        if each.severity is Severity.NOTICE:
            st.info(said, icon=":material/info:")
        elif each.name != NOT_RUNNING:
            st.error(said, icon=":material/warning:")


def _counts(seen: Look) -> None:
    if seen.overview is None:
        return
    jobs = {str(state): number for state, number in seen.overview.jobs.items()}
    for state, column in zip(_STATES, st.columns(len(_STATES), gap="small"), strict=True):
        with column:
            count(state, jobs.get(state, 0))
    rates = seen.overview.last_minute
    st.caption(
        f"Last minute: {rates.ingested:,.0f} taken in, {rates.completed:,.0f} completed, {rates.failed:,.0f} failed. "
        f"In the inbox: {_number(seen.overview.inbox, seen.overview.inbox_capped)}. "
        f"Rejected: {_number(seen.overview.rejected, seen.overview.rejected_capped)}. "
        f"Room on the volume: {size(seen.overview.free_bytes)}."
    )


def _consumers(seen: Look) -> None:
    st.subheader("Consumers", anchor=False)
    rows = []
    for each in seen.overview.consumers if seen.overview else ():
        what = "idle"
        if each.running:
            what = f"{plain(each.running.name or each.running.job)}, {elapsed(each.running.seconds)}"
            what += f", {each.running.progress:.0%}" if each.running.progress else ""
        queues = "all" if each.queues is None else ", ".join(map(plain, each.queues))
        life = ":green[alive]" if each.is_alive else f":red[{each.life.value}, silent {elapsed(each.silent)}]"
        rows.append((plain(each.program), life, what, queues, f"{each.completed:,}"))
    table(("consumer", "state", "runs", "queues", "completed"), rows, "No consumer is registered.")


def _outputs(seen: Look) -> None:
    st.subheader("Newest outputs", anchor=False)
    rows = [(plain(each.name), plain(each.queue), size(each.size), _clock(each.at)) for each in seen.outputs]
    empty = "No output yet. Copy a file into the inbox: `cp FILE spool/inbox/`"
    table(("output", "queue", "size", "published"), rows, empty)


def _queues(seen: Look) -> None:
    st.subheader("Queues", anchor=False)
    rows = []
    for each in seen.overview.queues if seen.overview else ():
        jobs = {str(state): number for state, number in each.jobs.items()}
        name = plain(each.name) + (" :orange[paused]" if each.paused_at else "")
        rows.append((name, *(f"{jobs.get(state, 0):,}" for state in _STATES), elapsed(each.oldest_wait)))
    table(("queue", *_STATES, "oldest wait"), rows, "No queue yet.")


def _tree(seen: Look) -> None:
    st.subheader("Spool", anchor=False)
    rows = []
    for branch in seen.branches:
        rows.append((_indented(branch), _number(branch.files, branch.capped), branch.duty))
        if branch.hidden:
            rows.append((_BLANK, "", f"and {branch.hidden:,} more directories"))
    table(("directory", "files", ""), rows, "There is no spool yet.")


def _indented(branch: Branch) -> str:
    name = plain(branch.path.rpartition("/")[2])
    return f"{_BLANK}{name}/" if branch.depth else f"**{name}/**"


def _number(count_: int, capped: bool) -> str:
    return f"{count_:,}+" if capped else f"{count_:,}"


def _clock(instant: float) -> str:
    return time.strftime("%H:%M:%S" if time.time() - instant < 43200 else "%Y-%m-%d %H:%M", time.localtime(instant))
