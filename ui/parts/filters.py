"""Filters that stand in the page's address: what is filtered can be sent to somebody, and *back* takes it back.

The address is the truth: a widget shows what stands there, and writes there what is chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st


def asked(name: str) -> str:
    """What the address says of a filter; an empty word for nothing."""
    return str(st.query_params.get(name, ""))


def put(**values: str) -> None:
    """Write filters into the address, in one step that *back* takes back; an empty word takes one out."""
    wanted = {**st.query_params.to_dict(), **values}
    st.query_params.from_dict({name: value for name, value in wanted.items() if value})


def _bound(name: str, resets: Sequence[str]) -> dict[str, Any]:
    # Each page has filters of its own: one that two pages shared would seem to change when the page does.
    key = f"filter-{st.session_state.get('at', '')}-{name}"
    st.session_state[key] = asked(name)

    def write() -> None:
        if (st.session_state[key] or "") != asked(name):
            put(**{name: st.session_state[key] or "", **dict.fromkeys(resets, "")})

    return {"key": key, "on_change": write}


def word(label: str, name: str, hint: str, help_: str = "", resets: Sequence[str] = ("before",)) -> str:
    """A filter that is typed."""
    found: str = st.text_input(label, placeholder=hint, help=help_ or None, max_chars=300, **_bound(name, resets))
    return found


def choice(
    label: str,
    name: str,
    options: Sequence[str],
    say: Callable[[str], str] = str,
    first: str = "all",
    resets: Sequence[str] = ("before",),
) -> str:
    """A filter that is chosen from a list; the first entry, of that name, filters nothing."""
    known = ["", *options]
    if asked(name) and asked(name) not in known:
        known.append(asked(name))  # as the address says, although there is none of it
    found: str = st.selectbox(
        label, known, format_func=lambda each: say(each) if each else first, **_bound(name, resets)
    )
    return found
