"""What is only read, as one piece of the page: figures, and small tables of texts, of which no mark means anything.

An element of Streamlit's for each of them would be a message each, and a table a program that the browser must load.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

Rows = Sequence[Sequence[str]]


def figures(told: Sequence[tuple[str, str, str]]) -> None:
    """Figures beside each other: of what, how much, and a few words on it."""
    cells = "".join(
        f"<div><dt>{escape(name)}</dt> <dd>{escape(value)} <small>{escape(note)}</small></dd></div>"
        for name, value, note in told
    )
    st.html(f'<dl class="figures">{cells}</dl>')


def beside(*sections: str) -> None:
    """Sections beside each other, where there is room."""
    st.html(f'<div class="beside">{"".join(sections)}</div>')


def section(title: str, columns: Sequence[str], rows: Rows, empty: str) -> str:
    """A table with its heading; `empty` is said when there are no rows."""
    held = _table(title, columns, rows) if rows else f"<p>{escape(empty)}</p>"
    return f"<section><h3>{escape(title)}</h3>{held}</section>"


def _table(title: str, columns: Sequence[str], rows: Rows) -> str:
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<table aria-label="{escape(title)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
