"""Ways from page to page, with what the other page is to show in its address."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NoReturn

import streamlit as st


def know(pages: dict[str, st.Page]) -> None:
    """Note the pages by name, for this session."""
    st.session_state["pages"] = pages


def go(page: str, **query: str) -> NoReturn:
    """Open a page."""
    st.switch_page(st.session_state["pages"][page], query_params=_asked(query))


def open_job(job: str) -> NoReturn:
    """Open a job over the page that is open: *back*, and its button, lead to that again."""
    st.query_params["job"] = job
    st.rerun()


def link(page: str, label: str, icon: str | None = None, **query: str) -> None:
    """A link to a page."""
    st.page_link(st.session_state["pages"][page], label=label, icon=icon, query_params=_asked(query))


def _asked(query: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in query.items() if value}


def menu(title: str, pages: Sequence[st.Page]) -> None:
    """A group of pages in the sidebar."""
    if pages:
        with st.container(gap="xxsmall", key=f"menu-{title.lower()}"):
            st.caption(title)
            for each in pages:
                st.page_link(each, label=each.title)


def command(line: str) -> None:
    """The same by hand: a command to copy, which one click selects.

    Not Streamlit's block of code: the browser would load 1.5 MB for its colours on each first page.
    """
    st.html(f'<p class="command">On the command line: <code>{escape(line)}</code></p>')
