"""What the programs have logged."""

from __future__ import annotations

import shlex

from pqfs.stack.logsearch import LEVELS, REACH, Line, Lines, search
from ui.store.door import Answer, look_at

__all__ = ["LEVELS", "REACH", "Line", "Lines"]


def lines(program: str, text: str, level: str, limit: int) -> Answer[Lines]:
    """The newest lines of one program, or of all, that say a word at this level or above."""
    programs = [program] if program else []
    level = level if level in LEVELS else LEVELS[0]
    return look_at(lambda loaded: search(loaded.settings.logs, programs, text, level, limit))


def command(program: str) -> str:
    """The command that follows the same."""
    return f"pqfs logs -f {shlex.quote(program)}" if program else "pqfs logs -f"
