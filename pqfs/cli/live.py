"""The life of `pqfs monitor`: a frame every second, keys in between; one frame, or one after the other, in a pipe."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pqfs.cli import terminal
from pqfs.cli.canvas import View, draw, plain, things
from pqfs.cli.frame import Frame, Watcher
from pqfs.cli.strokes import Deed, deed
from pqfs.errors import PqfsError

if TYPE_CHECKING:
    from pqfs.cli.screen import Screen
    from pqfs.settings import Loaded

_MESSAGE = 5.0  # seconds that an answer stands at the foot
_MOVES = {"up": -1, "k": -1, "down": 1, "j": 1}
_WIDE = 120  # columns of a frame that goes nowhere where it could be cut


def once(loaded: Loaded, as_json: bool) -> None:
    """Print one frame."""
    watcher = Watcher(loaded)
    frame = watcher.frame()
    watcher.close()
    if as_json:
        terminal.put_json("monitor", **frame.as_json())
    else:
        terminal.put_styled(plain(frame, _columns()))


def _columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE


def follow(loaded: Loaded, every: float) -> None:
    """Print a frame every so many seconds, until Ctrl-C."""
    watcher = Watcher(loaded)
    try:
        while True:
            terminal.put_styled(f"{plain(watcher.frame(), _columns())}\n")
            sys.stdout.flush()
            time.sleep(every)
    except KeyboardInterrupt:
        return
    finally:
        watcher.close()


def watch(loaded: Loaded, every: float) -> None:
    """Draw on the terminal until a key says q, or Ctrl-C."""
    from pqfs.cli.screen import Screen

    watcher = Watcher(loaded)
    try:
        with Screen() as screen:
            Monitor(loaded, watcher, screen, every).run()
    except KeyboardInterrupt:
        return
    finally:
        watcher.close()


class Monitor:
    """One person before one screen. A key that acts is asked about first."""

    def __init__(self, loaded: Loaded, watcher: Watcher, screen: Screen, every: float) -> None:
        self._loaded = loaded
        self._watcher = watcher
        self._screen = screen
        self._every = every
        self._frame = Frame(str(loaded.settings.spool))
        self._view = View()
        self._asked: Deed | None = None
        self._message_until = 0.0
        self._is_over = False

    def run(self) -> None:
        """Look, draw, listen, until it is over."""
        look_at = 0.0
        while not self._is_over:
            if time.monotonic() >= look_at:
                self._frame = self._watcher.frame()
                look_at = time.monotonic() + self._every
            self._paint()
            for key in self._screen.keys(look_at - time.monotonic()):
                self._press(key)
                look_at = 0.0 if self._asked is None else look_at  # see at once what it did

    def _paint(self) -> None:
        columns, lines = self._screen.size()
        self._select(self._view.selected)
        foot = self._view.foot if self._asked or time.monotonic() < self._message_until else ""
        self._view = replace(self._view, columns=columns, lines=lines, foot=foot, is_question=self._asked is not None)
        self._screen.paint(draw(self._frame, self._view))

    def _select(self, number: int) -> None:
        """Choose one of the things that the frame shows."""
        last = len(things(self._frame)) - 1
        self._view = replace(self._view, selected=max(0, min(number, last)))

    def _press(self, key: str) -> None:
        if self._asked is not None:
            self._answer(key)
        elif key in _MOVES:
            self._select(self._view.selected + _MOVES[key])
        elif key == "?":
            self._view = replace(self._view, shows_help=not self._view.shows_help)
        elif key == "q":
            self._is_over = True
        else:
            self._ask(key)

    def _ask(self, key: str) -> None:
        try:
            found = deed(self._loaded, self._frame, self._view.selected, key)
        except PqfsError as error:
            found = error.message
        if isinstance(found, Deed):
            self._asked = found
            self._view = replace(self._view, foot=f"{found.question} y/n")
        elif found is not None:
            self._say(found)

    def _answer(self, key: str) -> None:
        asked, self._asked = self._asked, None
        if asked is None or key not in ("y", "Y"):
            self._say("Nothing was changed.")
            return
        try:
            self._say(asked.act())
        except PqfsError as error:
            self._say(f"{error.message} {error.hint}".strip())

    def _say(self, sentence: str) -> None:
        self._view = replace(self._view, foot=sentence)
        self._message_until = time.monotonic() + _MESSAGE
