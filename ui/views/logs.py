"""Logs: the newest lines of all programs together, searched; followed while refresh is on."""

from __future__ import annotations

import streamlit as st

from ui.parts import links
from ui.parts.filters import asked, choice, word
from ui.parts.live import live, taken, told
from ui.parts.words import counted, size
from ui.store import logs
from ui.store.logs import Line

_LINES = ("100", "500", "2000")
_HEIGHT = 620


def show() -> None:
    """The page."""
    st.title("Logs", anchor=False)
    columns = st.columns(4)
    programs = logs.lines("", "", "ERROR", 1).value
    with columns[0]:
        choice("Program", "program", programs.programs if programs else (), resets=())
    with columns[1]:
        choice("Level, and above", "level", logs.LEVELS[1:], resets=())
    with columns[2]:
        word("Search", "text", "a job's id, a word", resets=())
    with columns[3]:
        choice("Lines", "lines", _LINES[1:], first=_LINES[0], resets=())
    live(_live, at_least=2.0)
    links.command(logs.command(asked("program")))


def _live() -> None:
    most = int(asked("lines")) if asked("lines") in _LINES else int(_LINES[0])
    answer = logs.lines(asked("program"), asked("text"), asked("level"), most)
    if not told(answer) or answer.value is None:
        return
    found = answer.value
    if not found.lines:
        st.caption("No line fits." if found.programs else "There are no logs yet. They come with the first start.")
    else:
        text = "\n".join(map(_shown, reversed(found.lines)))
        with st.container(height=_HEIGHT):  # scrolled by the keyboard, too
            st.code(text, language=None, wrap_lines=True)
    whole = "" if found.is_whole else f" Looked through the last {size(logs.REACH)} of each log."
    taken(answer, f"{counted(len(found.lines), 'line')}, the newest first, times in UTC.{whole}")


def _shown(line: Line) -> str:
    at = line.at[:19].replace("T", " ") or " " * 19
    return f"{at}  {line.level:<7}  {line.program:<12}  {line.text}"
