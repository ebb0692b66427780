"""Upkeep: remove what is no longer kept, copy the index, see to the schedules."""

from __future__ import annotations

from functools import partial

import streamlit as st

from ui.parts import dialog, links
from ui.parts.dialog import Act
from ui.parts.words import number, plain
from ui.store import upkeep
from ui.views.admin import schedules


def show() -> None:
    """The page."""
    st.title("Upkeep", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        _cleanup()
    with right:
        _backup()
    schedules.show()


def _cleanup() -> None:
    st.subheader("Cleanup", anchor=False)
    st.caption("Each minute the janitor removes what is older than the settings `keep` allow. Here it is done now.")
    if st.button("Clean up now", key="cleanup"):
        dialog.ask("Cleanup", _draw_cleanup, "Clean up", "cleanup")
    links.command("pqfs cleanup --dry-run")


def _draw_cleanup() -> Act | None:
    found = upkeep.no_longer_kept()
    if found.value is None:
        st.error(plain(f"{found.problem} {found.hint}"))
        return None
    if not found.value:
        st.markdown("Nothing is older than it is kept.")
        return None
    told = ", ".join(f"{number(each.count, each.capped)} {each.what}" for each in found.value)
    st.markdown(f"Would be removed for good: **{plain(told)}**.")
    return upkeep.cleanup


def _backup() -> None:
    st.subheader("Backup of the index", anchor=False)
    st.caption("A consistent copy while all runs, for its owner's eyes only. The spool itself: any backup of files.")
    folder = st.text_input("Folder on this host", value=upkeep.backup_folder(), key="backup-folder", max_chars=1000)
    if st.button("Back up now", key="backup"):
        dialog.ask("Backup", partial(_draw_backup, folder), "Back up")
    links.command("pqfs index backup FILE")


def _draw_backup(folder: str) -> Act:
    st.markdown(f"A copy of the index comes into {plain(folder)}, under a name with the time.")
    return partial(upkeep.backup, folder)
