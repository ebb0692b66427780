"""A terminal to draw on and to hear keys from: the other screen of it, without a cursor, given back as it was.

Only lines that differ from those that stand there are written, each at its place: nothing flickers, and what a second
costs is what has changed in it.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console
from rich.text import Text

_ENTER, _LEAVE = "\033[?1049h\033[?25l\033[2J", "\033[?25h\033[?1049l"
_ARROWS = {"\033[A": "up", "\033[B": "down", "\033OA": "up", "\033OB": "down"}
_GATHER = 0.02  # seconds in which the rest of an arrow's bytes comes
_ENDED = "\x03\x04"  # Ctrl-C and Ctrl-D, where the terminal hands them on


class Screen:
    """`with Screen() as screen:` for as long as it is ours; `keys` tells what was pressed, `paint` shows lines."""

    def __init__(self) -> None:
        self._console = Console(force_terminal=True, highlight=False, markup=False, emoji=False)
        self._shown: list[Text] = []
        self._input = sys.stdin.fileno()
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._input)
        self._on_resize = signal.signal(signal.SIGWINCH, self._resized)
        self._on_term = signal.signal(signal.SIGTERM, signal.default_int_handler)
        tty.setcbreak(self._input)
        self._write(_ENTER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(_LEAVE)
        termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)
        signal.signal(signal.SIGWINCH, self._on_resize)
        signal.signal(signal.SIGTERM, self._on_term)
        os.close(self._wake)
        os.close(self._woken)

    def _resized(self, number: int, frame: FrameType | None) -> None:
        self._shown = []
        os.write(self._woken, b"!")

    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        found = shutil.get_terminal_size() if "COLUMNS" in os.environ else os.get_terminal_size(sys.stdout.fileno())
        return max(1, found.columns), max(1, found.lines)

    def keys(self, timeout: float) -> list[str]:
        """The keys that are pressed within so many seconds, as soon as there are any; none at a change of size."""
        ready, _, _ = select.select([self._input, self._wake], [], [], max(0.0, timeout))
        if self._wake in ready:
            os.read(self._wake, 4096)
        if self._input not in ready:
            return []
        typed = os.read(self._input, 256).decode(errors="replace")
        if typed == "\033" and select.select([self._input], [], [], _GATHER)[0]:
            typed += os.read(self._input, 256).decode(errors="replace")
        return ["q"] if not typed else list(_keys(typed))

    def paint(self, lines: Sequence[Text]) -> None:
        """Show these lines; what stands there already is not written again."""
        clear = "" if self._shown else "\033[2J"
        shown = [*self._shown, *[None] * len(lines)]
        news = [
            f"\033[{number + 1};1H{self._rendered(line)}\033[K"
            for number, line in enumerate(lines)
            if line != shown[number]
        ]
        gone = [f"\033[{number + 1};1H\033[K" for number in range(len(lines), len(self._shown))]
        self._shown = list(lines)
        if clear or news or gone:
            self._write("".join([clear, *news, *gone]))

    def _rendered(self, line: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(line, end="", soft_wrap=True)
        return captured.get()

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _keys(typed: str) -> list[str]:
    """Characters as keys, arrows as words; of what else a terminal may send nothing."""
    found = []
    while typed:
        arrow = next((code for code in _ARROWS if typed.startswith(code)), None)
        if arrow:
            found.append(_ARROWS[arrow])
            typed = typed[len(arrow) :]
            continue
        if typed.startswith("\033"):
            return found
        found.append("q" if typed[0] in _ENDED else typed[0])
        typed = typed[1:]
    return found
