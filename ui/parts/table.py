"""Tables: small ones of words, which can be read aloud and searched; and grids of rows that open something.

In a grid everything is text, whatever it says. What a click opens is what stood in the row when it was drawn: the
rows are named by their ids, so that no refresh can slip another one under the pointer.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ui.parts.state import colours

_ROW = 35  # pixels
_MOST_ROWS = 20  # that are seen without scrolling


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str, alt: str = "") -> None:
    """Columns and rows of Markdown; `empty` is said when there are no rows."""
    if not rows:
        st.caption(empty)
        return
    data = {name: [row[at] for row in rows] for at, name in enumerate(columns)}
    st.table(data, border="horizontal", hide_index=True, alt=alt or ", ".join(columns))


def grid(
    name: str, columns: Mapping[str, Sequence[Any]], ids: Sequence[str], empty: str, alt: str, opens: str,
    config: Mapping[str, Any] | None = None,
) -> str | None:  # fmt: skip
    """A grid of rows; the id of the one that somebody has chosen, once: by its box, or by its cell in column `opens`.

    All other cells can be selected and copied.
    """
    chosen = _chosen(name, opens)
    if not ids:
        st.session_state.pop(f"shown-{name}", None)
        st.caption(empty)
        return chosen
    key = f"{name}-{st.session_state.get(f'turn-{name}', 0)}-{zlib.crc32(repr(ids).encode()):08x}"
    height = _ROW * (min(len(ids), _MOST_ROWS) + 1) + 3
    st.dataframe(
        dict(columns), hide_index=True, height=height, key=key, on_select="rerun",
        selection_mode=["single-row", "single-cell"], column_config=dict(config or {}), row_height=_ROW, alt=alt,
    )  # fmt: skip
    st.session_state[f"shown-{name}"] = (key, tuple(ids))
    return chosen


def choose(
    key: str, columns: Mapping[str, Sequence[Any]], empty: str, alt: str, config: Mapping[str, Any] | None = None
) -> list[int]:
    """A grid that does not change, of which rows are chosen by their boxes; which."""
    count = len(next(iter(columns.values()), ()))
    if not count:
        st.caption(empty)
        return []
    found = st.dataframe(
        dict(columns), hide_index=True, height=_ROW * (min(count, _MOST_ROWS) + 1) + 3, key=key, on_select="rerun",
        selection_mode="multi-row", column_config=dict(config or {}), row_height=_ROW, alt=alt,
    )  # fmt: skip
    return [row for row in found.selection.rows if row < count]


def _chosen(name: str, opens: str) -> str | None:
    """What was chosen among the rows that were drawn last; told once."""
    key, ids = st.session_state.get(f"shown-{name}", ("none", ()))
    selection = st.session_state.get(key)
    rows = [*selection.selection.rows, *_cells(selection.selection.cells, opens)] if selection else []
    if not rows or rows[0] >= len(ids):
        return None
    # The next grid has another key, and so nothing selected: what was chosen once is not chosen again.
    st.session_state[f"turn-{name}"] = st.session_state.get(f"turn-{name}", 0) + 1
    found: str = ids[rows[0]]
    return found


def _cells(cells: Sequence[tuple[int, str]], opens: str) -> list[int]:
    """The rows of the selected cells that stand in a column."""
    return [row for row, column in cells if column == opens]


def state_column() -> Any:
    """How states look in a grid: sign, word and colour."""
    options, shades = colours()
    return st.column_config.MultiselectColumn("state", options=options, color=shades, width=150)
