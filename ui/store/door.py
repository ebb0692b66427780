"""One spool, opened read-only, once for all sessions; every question goes through `ask`. Acts open it for themselves.

An `Answer` says at which instant it was taken, and why there is none where there is none. What many viewers ask is
asked once and kept for some seconds (`keep`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pqfs.errors import PqfsError, explained
from pqfs.events import trouble
from pqfs.settings import Loaded, load
from pqfs.wiring import App, open_app
from ui.store.once import Once

Value = TypeVar("Value")
_MOST_KEPT = 200  # answers


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """What was asked for, as it was at an instant (Unix seconds). `value` None: `problem` and `hint` say why."""

    at: float
    value: Value | None
    problem: str = ""
    hint: str = ""


class Door:
    """One spool; opened again when its index was made anew."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self._one_at_a_time = threading.Lock()  # a connection is not for two threads at once
        self._kept: dict[str, tuple[float, Answer[Any]]] = {}
        self._app: App | None = None
        self._opened: tuple[int, int] | None = None

    def ask(self, question: Callable[[App], Value], name: str = "", keep: float = 0.0) -> Answer[Value]:
        """Put a question to the opened spool. With `keep`: or take the answer to one of this name, if it is fresh."""
        with self._one_at_a_time:
            kept_at, kept = self._kept.get(name, (0.0, None))
            if kept is not None and time.monotonic() - kept_at < keep:
                return kept
            answer = answered(lambda: question(self._current_app()))
            if answer.value is None and answer.problem:
                self._close()
            if keep:
                if len(self._kept) >= _MOST_KEPT:
                    self._kept.clear()
                self._kept[name] = (time.monotonic(), answer)
            return answer

    def open(self) -> App:
        """The same spool, opened once more, for a thread of its own, which closes it.

        Raises:
            PqfsError: it can not be opened.
        """
        return open_app(self.loaded, read_only=True)

    def _current_app(self) -> App:
        present = self._identity()
        if self._app is None or present != self._opened:
            self._close()
            self._app, self._opened = open_app(self.loaded, read_only=True), present
        return self._app

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.loaded.settings.index_file)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _close(self) -> None:
        if self._app is not None:
            self._app.close()
            self._app = None


def answered(question: Callable[[], Value]) -> Answer[Value]:
    """The answer to any question, also where it is that there is none."""
    at = time.time()
    try:
        return Answer(at, question())
    except (PqfsError, OSError) as error:
        known = explained(error)
        message, hint = (known.message, known.hint) if known else (f"{type(error).__name__}: {error}", "")
        return Answer(at, None, message, hint)
    except Exception:  # noqa: BLE001 -- a bug is told in the log, and never as a stack trace on a page
        trouble("answering the console")
        return Answer(
            at, None, "The console could not answer this.", "What went wrong stands in its log: pqfs logs ui"
        )


@Once
def door() -> Door:
    """The door of this console; its spool comes from the settings, as for every command."""
    return Door(load())


def ask(question: Callable[[App], Value], name: str = "", keep: float = 0.0) -> Answer[Value]:
    """Put a question to the spool of this console."""
    opened = answered(door)
    if opened.value is None:  # settings that contradict themselves
        return Answer(opened.at, None, opened.problem, opened.hint)
    return opened.value.ask(question, name, keep)


def look_at(question: Callable[[Loaded], Value]) -> Answer[Value]:
    """Put a question that needs no index: about logs, or the tree alone."""
    return answered(lambda: question(door().loaded))


def noted(actor: str, verb: str, after: str | None = None, reason: str | None = None) -> None:
    """Tell the audit of what stands whether this succeeds or not."""

    def note(loaded: Loaded) -> None:
        app = open_app(loaded)
        try:
            with app.index.transaction():
                app.index.add_event(app.clock.now(), actor, verb, reason=reason, after=after)
        finally:
            app.close()

    look_at(note)
