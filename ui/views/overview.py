"""The first page: what waits, what runs, what came out, what needs a person; and what the last hours were like."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ui.parts import links
from ui.parts.charts import charts
from ui.parts.filters import asked, put
from ui.parts.live import live, taken, told
from ui.parts.sheet import beside, figures, section
from ui.parts.state import STATES, badged
from ui.parts.words import counted, elapsed, number, plain, size, when
from ui.store import overview
from ui.store.overview import NOT_RUNNING, Branch, Finding, Forecast, Look, Output, Severity

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
    is_running = seen is not None and seen.is_running
    life = (
        ":green-badge[:material/check_circle: running]"
        if is_running
        else ":red-badge[:material/stop_circle: stopped]"
    )
    st.caption(f"{life} spool {plain(overview.spool())}")


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
    with st.container(horizontal=True, gap="small", key="counts"):
        for state in STATES:
            links.link("jobs", f"{badged(state)} **{counted(jobs.get(state, 0), 'job')}**", state=state)


def _figures(seen: Look) -> None:
    found, minute = seen.overview, seen.overview.last_minute
    figures((
        ("Oldest wait", elapsed(found.oldest_wait), "of a job that is due"),
        ("Completed / min", f"{minute.completed:,.0f}", f"{minute.failed:,.0f} failed"),
        ("Taken in / min", f"{minute.ingested:,.0f}", size(minute.bytes)),
        ("Drained in", _drained(seen.forecast), seen.forecast.sentence),
        ("Inbox", number(found.inbox, found.inbox_capped), "files not taken yet"),
        ("Rejected", number(found.rejected, found.rejected_capped), "could not become a job"),
        ("Free", size(found.free_bytes), "on the volume"),
    ))  # fmt: skip


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
    if told(answer) and answer.value is not None:
        charts(answer.value)


def _beside() -> None:
    answer = overview.newest_outputs()
    beside(_outputs(answer.value or ()), _tree())
    taken(answer)


def _outputs(found: Sequence[Output]) -> str:
    rows = [(each.name, each.queue, size(each.size), when(each.at)) for each in found]
    empty = "No output yet. Copy a file into the inbox: cp FILE spool/inbox/"
    return section("Newest outputs", ("output", "queue", "size", "published (UTC)"), rows, empty)


def _tree() -> str:
    rows = []
    for branch in overview.branches().value or ():
        rows.append((_indented(branch), number(branch.files, branch.capped), branch.duty))
        if branch.hidden:
            rows.append((_BLANK, "", f"and {branch.hidden:,} more directories"))
    return section("Spool", ("directory", "files", "what for"), rows, "There is no spool yet.")


def _indented(branch: Branch) -> str:
    name = branch.path.rpartition("/")[2]
    return f"{_BLANK if branch.depth else ''}{name}/"
