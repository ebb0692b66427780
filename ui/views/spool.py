"""The spool: what lies where, the index beside it, every disagreement explained; and a look into any file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import streamlit as st

from ui.parts import dialog, links, session
from ui.parts.dialog import Act
from ui.parts.filters import asked, put
from ui.parts.live import live, taken, told
from ui.parts.preview import preview
from ui.parts.table import grid, table
from ui.parts.words import counted, elapsed, number, plain, size, when
from ui.store import steering, tree
from ui.store.tree import Check, Finding, Folder, Pairing, Scales, Sort

_SIGNS = {Sort.FOLDER: "▸ folder", Sort.FILE: "file", Sort.OTHER: "? no file"}

_TOLD = 5


def show() -> None:
    """The page."""
    st.title("Spool", anchor=False)
    if asked("dir"):
        _browse(asked("dir"))
        return
    live(_scales, at_least=2.0)
    st.subheader("Every disagreement", anchor=False)
    st.caption("A check holds each file against its row, and each row against its file. It changes nothing.")
    live(_check, at_least=1.0)
    links.command("pqfs fsck")


# -------------------------------------------------------------------- what lies where


def _scales() -> None:
    answer = tree.scales()
    if not told(answer) or answer.value is None:
        return
    found = answer.value
    if found.at is None:
        st.skeleton(height=300)
        st.caption("The tree is being weighed.")
        return
    left, right = st.columns([2, 1], gap="medium")
    with left:
        _weights(found)
    with right:
        _pairings(found.pairings)
    st.caption(f"Weighed {elapsed(max(0.0, time.time() - found.at))} ago, at {when(found.at)[-8:]} UTC.")


def _weights(found: Scales) -> None:
    st.subheader("The tree", anchor=False)
    weights = found.weights
    columns = {
        "directory": [each.path if "/" not in each.path else f"    {each.path}" for each in weights],
        "files": [number(each.files, each.is_capped) for each in weights],
        "bytes": [size(each.bytes) for each in weights],
        "oldest": [elapsed(found.at - each.oldest_at) if found.at and each.oldest_at else "" for each in weights],
        "what for": [each.duty for each in weights],
    }
    chosen = grid(
        "weights", columns, [each.path for each in weights], "There is no spool yet.", "Directories", "directory"
    )
    if chosen:
        put(dir=chosen)
        st.rerun()


def _pairings(pairings: tuple[Pairing, ...]) -> None:
    st.subheader("The index beside it", anchor=False)
    rows = [
        (
            f"**{plain(each.place)}/**", each.says, number(each.found, each.is_capped),
            ":green[✓\u00a0fits]" if each.fits else ":red[✗\u00a0differs: check]",
        )
        for each in pairings
    ]  # fmt: skip
    empty = "The index can not be read, so the tree stands alone."
    table(("place", "the index says", "files there", ""), rows, empty, "Index and tree by place")
    st.caption("Numbers alone, and jobs move meanwhile: the check below tells for sure.")


# -------------------------------------------------------------------- the check


def _check() -> None:
    answer = tree.check()
    if not told(answer) or answer.value is None:
        return
    check = answer.value
    with st.container(horizontal=True, vertical_alignment="center"):
        if check.is_running:
            st.button("Stop the check", on_click=tree.stop_check, key="stop-check")
        else:
            st.button("Check now", on_click=tree.start_check, key="start-check", type="primary")
        st.caption(_progress(check))
    if check.problem:
        st.error(plain(check.problem), icon=":material/report:")
    if check.began_at is not None:
        _findings(check)


def _progress(check: Check) -> str:
    if check.began_at is None:
        return "Not checked since the console was started."
    seen = ", ".join(f"{count:,} {what}" for what, count in check.seen) or "the index itself"
    if check.ended_at is None:
        return f"It has been looking for {elapsed(time.time() - check.began_at)}: {seen}."
    how = "ended early" if check.is_cut else "whole"
    return f"Checked at {when(check.ended_at)} UTC, {how}, in {check.ended_at - check.began_at:.1f} s: {seen}."


def _findings(check: Check) -> None:
    found = check.findings
    columns = {
        "what": [each.name for each in found],
        "where": [each.path or "" for each in found],
        "what it means": [each.explanation for each in found],
        "repair": [each.repair for each in found],
        "job": [each.job or "" for each in found],
    }
    empty = "Nothing yet." if check.is_running else "✓ Index and tree tell one and the same story."
    wide = st.column_config.TextColumn(width="large")
    ids = [each.job or f"none {number_}" for number_, each in enumerate(found)]
    chosen = grid("findings", columns, ids, empty, "Disagreements", "what", {"what it means": wide, "repair": wide})
    if chosen and not chosen.startswith("none "):
        links.open_job(chosen)
    if found:
        st.caption(f"{counted(len(found), 'disagreement')}. A click on the first column opens the job. To mend them:")
        st.code("pqfs fsck --repair", language=None)
        if session.who() and not check.is_running:
            _repairs(found)


def _repairs(found: Sequence[Finding]) -> None:
    """A repair of one, or of all that can be repaired without a person."""
    mended = [each for each in found if each.is_mended]
    if not mended:
        return
    labels = {f"{each.name}: {each.path or each.job or 'the index'}": each for each in mended}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = st.selectbox("Disagreement", list(labels), key="repair-which")
        if st.button("Repair it", key="repair-one"):
            dialog.ask("Repair", partial(_draw_repair, [labels[label]]), "Repair")
        if st.button(f"Repair all {len(mended)}", key="repair-all", type="primary"):
            dialog.ask("Repair", partial(_draw_repair, mended), "Repair")


def _draw_repair(findings: Sequence[Finding]) -> Act:
    st.markdown(f"**{counted(len(findings), 'disagreement')}**. Each is looked at again before anything is done:")
    for each in findings[:_TOLD]:
        st.markdown(f"- {plain(each.name)}: {plain(each.repair)}")
    if len(findings) > _TOLD:
        st.caption(f"… and {len(findings) - _TOLD:,} more")
    return partial(steering.repair, findings)


# -------------------------------------------------------------------- browsing


def _browse(path: str) -> None:
    parts = path.split("/")
    with st.container(horizontal=True, vertical_alignment="center", key="where"):
        links.link("spool", "spool")
        for depth in range(1, len(parts) + 1):
            links.link("spool", parts[depth - 1].replace("[", "(").replace("]", ")"), dir="/".join(parts[:depth]))
    if asked("file"):
        _file(f"{path}/{asked('file')}")
    answer = tree.contents(path, asked("after"))
    if told(answer) and answer.value is not None:
        _folder(answer.value)
        taken(answer)


def _folder(found: Folder) -> None:
    entries = found.entries
    columns = {
        "name": [each.name for each in entries],
        "is": [_SIGNS.get(each.sort, str(each.sort)) for each in entries],
        "size": [size(each.size) if each.sort is Sort.FILE else "" for each in entries],
        "changed (UTC)": [when(each.changed_at) for each in entries],
    }
    ids = [f"{each.sort} {each.name}" for each in entries]
    wide = {"name": st.column_config.TextColumn(width="large")}
    chosen = grid("entries", columns, ids, "Nothing lies here.", f"Contents of {found.path}", "name", wide)
    if chosen:
        sort, _, name = chosen.partition(" ")
        if sort == Sort.FOLDER:
            put(dir=f"{found.path}/{name}", file="", after="")
        else:
            put(file=name)
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("First", on_click=put, kwargs={"after": ""}, disabled=not asked("after"), key="first")
        st.button("Next", on_click=put, kwargs={"after": found.next or ""}, disabled=found.next is None, key="next")
        st.caption(f"{len(entries):,} of {number(found.count, found.is_capped)} names, in order.")


def _file(path: str) -> None:
    st.subheader(plain(path.rpartition("/")[2]), anchor=False)
    seen = tree.beginning(path)
    if told(seen) and seen.value is not None:
        preview(seen.value, "In the spool")
    if job := tree.job_of(path).value:
        links.link("job", f"Its job: {job}", job=job)
    links.command(f"pqfs why {tree.quoted(path)}")
