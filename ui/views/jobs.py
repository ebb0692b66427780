"""Jobs: found by state, queue, name, time or error; newest first, a page at a time; a click opens one."""

from __future__ import annotations

import streamlit as st

from ui.parts import acts, links, session
from ui.parts.filters import asked, choice, put, word
from ui.parts.live import live, taken, told
from ui.parts.state import STATES, signed
from ui.parts.table import choose, grid, state_column
from ui.parts.words import counted, plain, short, size, when
from ui.store import jobs
from ui.store.acts import everything
from ui.store.door import Answer
from ui.store.jobs import Job, Page, Wanted

_WIDTHS = {"name": 320, "error": 220}  # pixels
_SEARCH_EVERY = 10.0  # seconds between two looks at a filter that has to look at every name
_FILTERS = ("state", "queue", "name", "since", "until", "group", "before")


def show() -> None:
    """The page."""
    st.title("Jobs", anchor=False)
    _bar()
    wanted = jobs.wanted({name: asked(name) for name in _FILTERS})
    if wanted.value is None:
        st.error(plain(f"{wanted.problem} {wanted.hint}"), icon=":material/edit:")
        return
    asked_for = wanted.value
    if session.who() and st.toggle("Choose jobs, and act", key="choose", help="The list stands still meanwhile."):
        _choose(asked_for)
    else:
        st.session_state.pop("still", None)
        live(lambda: _list(asked_for), at_least=_SEARCH_EVERY if asked_for.name else 2.0)
    if line := jobs.command(asked_for, asked("before")):
        links.command(line)


def _bar() -> None:
    counts = jobs.counts().value or {}
    told_counts = {str(state): f" ({number:,})" for state, number in counts.items()}
    first, second = st.columns(4), st.columns(4, vertical_alignment="bottom")
    with first[0]:
        choice("State", "state", STATES, lambda state: f"{signed(state)}{told_counts.get(state, '')}")
    with first[1]:
        choice("Queue", "queue", jobs.queue_names().value or [])
    with first[2]:
        word("Name", "name", "*.pdf", "A pattern: * stands for anything, ? for one character.")
    with first[3]:
        word("Error group", "group", "3f9a0c1b2d4e", "The fingerprint of an error, as Dead letters shows it.")
    with second[0]:
        word("Arrived since", "since", "2h, or 2026-11-22T10:00:00Z")
    with second[1]:
        word("Arrived until", "until", "1h, or 2026-11-22")
    with second[2]:
        choice("Jobs a page", "size", [str(each) for each in jobs.SIZES[1:]], first="50", resets=())
    with second[3]:
        st.button("Clear the filter", on_click=_clear, disabled=not any(map(asked, _FILTERS)))


def _clear() -> None:
    put(**dict.fromkeys(_FILTERS, ""))


def _per_page() -> int:
    return int(asked("size")) if asked("size").isdecimal() else jobs.SIZES[0]


def _choose(wanted: Wanted) -> None:
    """The list as it was when somebody began to choose: what is chosen stays what it was, whatever comes and goes."""
    answer = _still(wanted)
    if not told(answer) or answer.value is None:
        return
    page = answer.value
    rows = choose(
        f"choose-{answer.at}", _columns(page.jobs), _empty(page), "Jobs to choose", {"state": state_column()}
    )
    acts.of_many([page.jobs[row] for row in rows], lambda: everything(wanted))
    st.button("Look again", on_click=_look_again, key="look-again", icon=":material/refresh:")
    _foot(answer, page)


def _look_again() -> None:
    st.session_state.pop("still", None)


def _still(wanted: Wanted) -> Answer[Page]:
    asked_for = (wanted.state, wanted.queue, wanted.name, wanted.group, asked("since"), asked("until"))
    key = (*asked_for, asked("before"), _per_page())
    found: tuple[object, Answer[Page]] | None = st.session_state.get("still")
    if found is None or found[0] != key:
        found = st.session_state["still"] = (key, jobs.page(wanted, asked("before"), _per_page()))
    return found[1]


def _list(wanted: Wanted) -> None:
    answer = jobs.page(wanted, asked("before"), _per_page())
    if not told(answer) or answer.value is None:
        return
    page = answer.value
    chosen = grid(
        "jobs", _columns(page.jobs), [job.id for job in page.jobs], _empty(page), "Jobs, newest first", "name",
        {"state": state_column()} | {name: st.column_config.TextColumn(width=each) for name, each in _WIDTHS.items()},
    )  # fmt: skip
    if chosen:
        links.open_job(chosen)
    _foot(answer, page)


def _columns(found: tuple[Job, ...]) -> dict[str, list[object]]:
    return {
        "state": [[signed(job.state)] for job in found],
        "name": [jobs.printable(job.name) for job in found],
        "queue": [job.queue for job in found],
        "arrived (UTC)": [when(job.created_at) for job in found],
        "changed (UTC)": [when(job.updated_at) for job in found],
        "error": [short(job.error) for job in found],
        "attempts": [job.attempt for job in found],
        "priority": [job.priority for job in found],
        "size": [size(job.size) for job in found],
        "id": [job.id for job in found],
    }


def _empty(page: Page) -> str:
    if page.is_cut:
        return f"None among those that arrived since {when(page.reached)} UTC. Older ones may fit: go on below."
    if page.total == 0 and not any(map(asked, _FILTERS)):
        return "There is no job yet. Copy a file into the inbox: `cp FILE spool/inbox/`"
    return "No job fits this filter."


def _foot(answer: Answer[Page], page: Page) -> None:
    number = len(page.jobs)
    total = f"{number:,} of {counted(page.total, 'job')}" if page.total is not None else counted(number, "job")
    cut = f" Looked back to {when(page.reached)} UTC." if page.is_cut else ""
    clicks = "" if "still" in st.session_state else " A click on a name opens the job."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Newest", on_click=put, kwargs={"before": ""}, disabled=not asked("before"), key="newest")
        older = "Go on looking" if page.is_cut else "Older"
        following = page.next or ""
        # The address is of the whole page: a fragment alone would not draw the command below anew.
        if st.button(older, disabled=not following, key="older"):
            put(before=following)
            st.rerun()
        taken(answer, f"{total}.{cut}{clicks}")
