"""A small table: rows of words, drawn as text, so that it can be read aloud and searched in the browser."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]()<>#+-.!|~$:"})


def plain(text: str) -> str:
    """Text from strangers, in which no mark means anything: a file may be called `**x**` or `:red[x]`."""
    return text.translate(_MARKS)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Columns and rows of Markdown; `empty` is said when there are no rows."""
    if not rows:
        st.caption(empty)
        return
    st.table(
        {name: [row[at] for row in rows] for at, name in enumerate(columns)}, border="horizontal", hide_index=True
    )


def elapsed(seconds: float | None) -> str:
    """`7 s`, `3 min`, `2 h`, `5 d`; `none` for nothing."""
    if seconds is None:
        return "none"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes with a unit that fits: `117 B`, `4.2 MiB`."""
    units = iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while count >= 1024 and unit != "TiB":
        count, unit = count / 1024, next(units)
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
