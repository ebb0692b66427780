"""The first page: what waits, what runs, what came out, what needs a person; and what the last hours were like."""

from __future__ import annotations

import streamlit as st

from ui.parts import links
from ui.parts.charts import pace_chart, run_chart
from ui.parts.filters import asked, put
from ui.parts.live import live, taken, told
from ui.parts.state import STATES, badge
from ui.parts.table import table
from ui.parts.words import counted, elapsed, number, plain, size, when
from ui.store import overview
from ui.store.overview import NOT_RUNNING, Branch, Finding, Forecast, Look, Severity

_BLANK = "\N{EM SPACE}"


def show() -> None:
    """The page."""
    st.title("Overview", anchor=False)
    live(_now)
    _period()
    live(_charts, at_least=5.0)
    live(_beside, at_least=2.0)


def _now() -> None:
    answer = overview.look()
    _head(answer.value)
    if not told(answer) or answer.value is None:
        return
    seen = answer.value
    _alarms(seen.findings)
    _counts(seen)
    _figures(seen)
    _consumers(seen)
    taken(answer)


def _head(seen: Look | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="life"):
        if seen and seen.is_running:
            st.badge("running", icon=":material/check_circle:", color="green")
        else:
            st.badge("stopped", icon=":material/stop_circle:", color="red")
        st.caption(f"spool {plain(overview.spool())}")


def _alarms(findings: tuple[Finding, ...]) -> None:
    """What needs a person, then what is worth knowing. That nothing runs is said above."""
    for each in findings:
        since = f" since {when(each.since_at)} UTC" if each.since_at else ""
        said = f"**{plain(each.name)}**{since} {plain(each.sentence)} {plain(each.hint)}"
        if each.severity is Severity.NOTICE:
            st.info(said, icon=":material/info:")
        elif each.name != NOT_RUNNING:
            st.error(said, icon=":material/warning:")


def _counts(seen: Look) -> None:
    jobs = {str(state): each for state, each in seen.overview.jobs.items()}
    for state, column in zip(STATES, st.columns(len(STATES), gap="small"), strict=True):
        with column, st.container(border=True, key=f"count-{state}"):
            badge(state)
            links.link("jobs", _bold(counted(jobs.get(state, 0), "job")), state=state)


def _bold(told: str) -> str:
    number_, _, noun = told.partition(" ")
    return f"**{number_}** {noun}"


def _figures(seen: Look) -> None:
    found, drain = seen.overview, seen.forecast
    minute = found.last_minute
    figures = (
        ("Oldest wait", elapsed(found.oldest_wait), "How long the longest waiting job has been due."),
        ("Completed / min", f"{minute.completed:,.0f}", f"{minute.failed:,.0f} failed in it."),
        ("Taken in / min", f"{minute.ingested:,.0f}", f"{size(minute.bytes)} in it."),
        ("Drained in", _drained(drain), drain.sentence),
        ("Inbox", number(found.inbox, found.inbox_capped), "Files that are not taken yet."),
        ("Rejected", number(found.rejected, found.rejected_capped), "What could not become a job."),
        ("Free", size(found.free_bytes), "Room on the volume; below low water work pauses."),
    )
    for (label, value, help_), column in zip(figures, st.columns(len(figures)), strict=True):
        column.metric(label, value, help=help_)


def _drained(drain: Forecast) -> str:
    if not drain.waiting:
        return "empty"
    return "never" if drain.seconds is None else elapsed(drain.seconds)


def _consumers(seen: Look) -> None:
    alive = [each for each in seen.overview.consumers if each.is_alive]
    busy = [each for each in alive if each.running]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{len(alive)} consumers alive**, {len(busy)} of them run a job.", width="content")
        links.link("consumers", "What each runs")
        links.link("queues", "Queues")
    if not seen.overview.consumers:
        st.caption("No consumer is registered.")


def _period() -> None:
    chosen = asked("period") if asked("period") in overview.PERIODS else next(iter(overview.PERIODS))
    st.session_state["period"] = chosen
    st.segmented_control(
        "The last", list(overview.PERIODS), key="period", required=True,
        on_change=lambda: put(period=st.session_state["period"] or ""),
    )  # fmt: skip


def _charts() -> None:
    answer = overview.points(st.session_state.get("period") or next(iter(overview.PERIODS)))
    if not told(answer) or answer.value is None:
        return
    left, right = st.columns(2, gap="large")
    with left:
        pace_chart(answer.value)
    with right:
        run_chart(answer.value)


def _beside() -> None:
    left, right = st.columns([3, 2], gap="large")
    with left:
        _outputs()
    with right:
        _tree()


def _outputs() -> None:
    st.subheader("Newest outputs", anchor=False)
    answer = overview.newest_outputs()
    rows = [(plain(each.name), plain(each.queue), size(each.size), when(each.at)) for each in answer.value or ()]
    empty = "No output yet. Copy a file into the inbox: `cp FILE spool/inbox/`"
    table(("output", "queue", "size", "published (UTC)"), rows, empty)
    taken(answer)


def _tree() -> None:
    st.subheader("Spool", anchor=False)
    rows = []
    for branch in overview.branches().value or ():
        rows.append((_indented(branch), number(branch.files, branch.capped), branch.duty))
        if branch.hidden:
            rows.append((_BLANK, "", f"and {branch.hidden:,} more directories"))
    table(("directory", "files", "what for"), rows, "There is no spool yet.")


def _indented(branch: Branch) -> str:
    name = plain(branch.path.rpartition("/")[2])
    return f"{_BLANK}{name}/" if branch.depth else f"**{name}/**"
