"""What somebody asked for goes on in a thread of its own: closing the page changes nothing, and the report stays.

One thread, one opened spool, one report for each. What is short is done when `begin` returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pqfs.errors import PqfsError, explained
from pqfs.events import trouble
from pqfs.settings import Loaded
from pqfs.wiring import App, open_app
from ui.store.door import Answer, look_at
from ui.store.once import Once

_MOST_KEPT = 50
_NAMED = 50  # that were skipped and are named
_PATIENCE = 1.0  # seconds in which most are done


@dataclass(frozen=True, slots=True)
class Author:
    """Who asks, and why."""

    name: str
    reason: str | None = None

    @property
    def actor(self) -> str:
        """As the audit names it."""
        return f"console:{self.name}"


@dataclass(frozen=True, slots=True)
class Report:
    """An undertaking as far as it is. `said` is its end in words; `problem`: why it ended otherwise.

    `skipped` counts what was passed over; the first of them are named, each with the reason.
    """

    number: int
    title: str
    author: str
    began_at: float
    ended_at: float | None
    done: int
    skipped: int
    named: tuple[tuple[str, str], ...]
    said: str
    problem: str
    hint: str

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self.ended_at is None


class Stopped(Exception):
    """Somebody has had enough of it."""


Work = Callable[[App, "Undertaking"], str]
"""Does it, tells of each, and answers with its end in words."""


class Undertaking:
    """One of them."""

    def __init__(self, number: int, title: str, author: Author) -> None:
        self.author = author
        self._number, self._title = number, title
        self._began_at = time.time()
        self._ended_at: float | None = None
        self._done = self._skipped = 0
        self._named: list[tuple[str, str]] = []
        self._said = self._problem = self._hint = ""
        self._is_asked_to_stop = False
        self._end = threading.Event()

    def note(self, what: str, error: PqfsError | None = None) -> None:
        """One more: done, or skipped because of the error.

        Raises:
            Stopped: nobody wants the rest.
        """
        if error is None:
            self._done += 1
        else:
            self._skipped += 1
            if len(self._named) < _NAMED:
                self._named.append((what, error.message))
        self.look_up()

    def look_up(self) -> None:
        """Go on.

        Raises:
            Stopped: nobody wants the rest.
        """
        if self._is_asked_to_stop:
            raise Stopped

    def pause(self, seconds: float) -> None:
        """Wait a little before the next look.

        Raises:
            Stopped: nobody wants the rest.
        """
        self.look_up()
        time.sleep(seconds)

    def stop(self) -> None:
        """Leave the rest as it is."""
        self._is_asked_to_stop = True

    def run(self, loaded: Loaded, work: Work) -> None:
        """Do it. Nothing is raised: what went wrong is part of the report."""
        try:
            app = open_app(loaded)
            try:
                self._said = work(app, self)
            finally:
                app.close()
        except Stopped:
            self._said = "Stopped: the rest was left as it is."
        except (PqfsError, OSError) as error:
            known = explained(error)
            self._problem, self._hint = (known.message, known.hint) if known else (str(error), "")
        except Exception:  # noqa: BLE001 -- a bug is told in the log, and never as a stack trace on a page
            trouble("doing what the console was asked for")
            self._problem, self._hint = "It could not be done.", "What went wrong stands in the log: pqfs logs ui"
        finally:
            self._ended_at = time.time()
            self._end.set()

    def wait(self, seconds: float) -> None:
        """Wait for its end, no longer than this."""
        self._end.wait(seconds)

    def report(self) -> Report:
        """How far it is."""
        return Report(
            self._number, self._title, self.author.name, self._began_at, self._ended_at, self._done, self._skipped,
            tuple(self._named), self._said, self._problem, self._hint,
        )  # fmt: skip


class _Book:
    """The last of them, by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._kept: dict[int, Undertaking] = {}

    def begin(self, loaded: Loaded, title: str, author: Author, work: Work) -> int:
        with self._lock:
            self._last += 1
            begun = self._kept[self._last] = Undertaking(self._last, title, author)
            for number in list(self._kept)[:-_MOST_KEPT]:
                del self._kept[number]
            number = self._last
        threading.Thread(target=begun.run, args=(loaded, work), name=f"console: {title}", daemon=True).start()
        begun.wait(_PATIENCE)
        return number

    def get(self, number: int) -> Undertaking | None:
        with self._lock:
            return self._kept.get(number)


@Once
def _book() -> _Book:
    return _Book()


def begin(title: str, author: Author, work: Work) -> Answer[int]:
    """Begin it; its number. It is waited for a moment, so that what is short is done."""
    return look_at(lambda loaded: _book().begin(loaded, title, author, work))


def report(number: int) -> Report | None:
    """How far one is; None when it is not kept any more."""
    found = _book().get(number)
    return found.report() if found else None


def stop(number: int) -> None:
    """Leave the rest of it."""
    if found := _book().get(number):
        found.stop()
