"""One job: where it stands and why, its attempts and events, its files, where it comes from and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import streamlit as st

from ui.parts import acts, links
from ui.parts.filters import asked, put
from ui.parts.live import live, taken, told
from ui.parts.preview import preview
from ui.parts.state import badge
from ui.parts.table import table
from ui.parts.words import elapsed, plain, short, size, when
from ui.store import jobs
from ui.store.jobs import Account, Attempt, Preview, Sort

_LOG = 16_000  # characters of an attempt's log


def or_page(page: Callable[[], None]) -> Callable[[], None]:
    """A page, or the job that its address names: the list that it was opened from stays behind it, filter and all."""

    def show_either() -> None:
        if asked("job"):
            st.button("Back to the list", on_click=put, kwargs={"job": ""}, icon=":material/arrow_back:", key="back")
            show()
        else:
            page()

    return show_either


def show() -> None:
    """The page."""
    st.title("Job", anchor=False)
    if not asked("job"):
        _find()
        return
    live(_live, at_least=2.0)


def _find() -> None:
    st.caption("Which one? Its id, or the beginning of it; or find it among the jobs.")
    given = st.text_input("Job id", key="job-id", max_chars=60)
    if given:
        put(job=given.strip())
        st.rerun()
    links.link("jobs", "All jobs", ":material/list:")


def _live() -> None:
    answer = jobs.story(asked("job"))
    if not told(answer) or answer.value is None:
        links.link("jobs", "All jobs", ":material/list:")
        return
    story, account = answer.value, answer.value.account
    _head(account)
    acts.of_job(account.job)
    _why(story.sentences)
    taken(answer)
    _timeline(account)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Input", anchor=False)
        _file(story.input, "Its input is not kept any more, or has moved on.")
    with right:
        st.subheader("Output", anchor=False)
        _file(story.output, "There is none." if account.output is None else "Somebody has taken it away.")
    _attempts(account.attempts)
    _provenance(account)
    links.command(f"pqfs explain {account.job.id} --check")


def _head(account: Account) -> None:
    job = account.job
    st.subheader(plain(jobs.printable(job.name)), anchor=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        badge(job.state)
        st.caption(f"Job {job.id}, queue {plain(job.queue)}, priority {job.priority}, {size(job.size)}")
        links.link("jobs", f"Jobs of {job.queue}", queue=job.queue)
        if job.fingerprint:
            links.link("jobs", "Jobs with such an error", group=job.fingerprint)


def _why(sentences: tuple[str, ...]) -> None:
    """What `pqfs why` says."""
    with st.container(border=True, key="why"):
        st.markdown("\n".join(f"- {plain(short(each, 1000))}" for each in sentences))


def _timeline(account: Account) -> None:
    """Arrival, attempts and what people did, in one order of time."""
    job = account.job
    rows = [(job.created_at, "arrived", f"{size(job.size)} into queue {plain(job.queue)}")]
    for each in account.attempts:
        if each.started_at is not None:
            rows.append((each.started_at, f"attempt {each.attempt} started", plain(each.owner)))
        said = f": {plain(short(each.error))}" if each.error else ""
        rows.append((each.ended_at, f"attempt {each.attempt} ended", f"**{plain(each.outcome)}**{said}"))
    for event in account.events:
        change = f", {plain(event.before or '')} → {plain(event.after or '')}" if event.before or event.after else ""
        why = f": {plain(short(event.reason))}" if event.reason else ""
        rows.append((event.at, plain(event.verb), f"by {plain(event.actor)}{change}{why}"))
    st.subheader("Timeline", anchor=False)
    shown = [(when(at), elapsed(at - job.created_at), what, said) for at, what, said in sorted(rows)]
    table(("at (UTC)", "after", "what", "how"), shown, "Nothing has happened yet.", "What happened, in order of time")


def _file(seen: Preview | None, missing: str) -> None:
    if seen is None:
        st.caption(missing)
        return
    if seen.sort is Sort.FOLDER:
        st.caption(f"A folder: {plain(seen.path)}")
    else:
        preview(seen, plain(seen.path))
    above, _, name = seen.path.rpartition("/")
    if seen.sort is Sort.FOLDER:
        links.link("spool", "Show it in the spool", ":material/folder_open:", dir=seen.path)
    else:
        links.link("spool", "Show it in the spool", ":material/folder_open:", dir=above, file=name)


def _attempts(attempts: tuple[Attempt, ...]) -> None:
    st.subheader("Attempts", anchor=False)
    rows = [
        (
            str(each.attempt), plain(each.outcome), plain(each.owner), elapsed(each.run_seconds), _cpu(each),
            "" if each.peak_bytes is None else size(each.peak_bytes),
            "" if each.exit_code is None else str(each.exit_code), plain(short(each.error)),
        )
        for each in attempts
    ]  # fmt: skip
    columns = ("attempt", "outcome", "consumer", "ran", "processor", "memory", "exit code", "error")
    table(columns, rows, "No attempt has ended yet.", "Attempts, oldest first")
    for each in reversed(attempts):
        if each.log:
            title = f"What attempt {each.attempt} wrote"
            with st.expander(title, expanded=each is attempts[-1]), st.container(height=260):
                st.code(each.log[-_LOG:], language=None, wrap_lines=True)


def _cpu(each: Attempt) -> str:
    if each.user_seconds is None or each.system_seconds is None:
        return ""
    return elapsed(each.user_seconds + each.system_seconds)


def _provenance(account: Account) -> None:
    st.subheader("Provenance", anchor=False)
    output, rows = account.output, [("input", plain(jobs.printable(account.input.name)))]
    if account.handler:
        rows.append(("handler", plain(short(json.dumps(account.handler), 400))))
    if account.asked:
        rows.append(("asked for", plain(short(json.dumps(account.asked), 400))))
    if output:
        rows.append(("output", f"{plain(output.name)}, {size(output.size)}"))
        rows.append(("SHA\\-256", plain(output.sha256 or "not known")))
    table(("what", "is"), rows, "", "Where it comes from")
    for label, ids in (("Made of", (account.origin,) if account.origin else ()), ("Made into", account.made_into)):
        for each in ids:
            links.link("job", f"{label} {each}", job=each)
