"""One look at the whole spool: what the first page shows, and what the line above every page says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pqfs.clock import SystemClock
from pqfs.errors import PqfsError
from pqfs.health import NOT_RUNNING, Finding, Severity, examine
from pqfs.model import State
from pqfs.report import Overview, overview
from pqfs.settings import Loaded
from pqfs.stack.supervisor import programs
from pqfs.tree import Branch, Output, Tree
from pqfs.trends import Forecast, Point, forecast, trend
from pqfs.vitals import Program, Vitals
from pqfs.vitals import look as look_at_vitals
from pqfs.wiring import App
from ui.store.door import Answer, answered, ask, door
from ui.store.once import Once

__all__ = ["NOT_RUNNING", "Branch", "Finding", "Forecast", "Look", "Output", "Overview", "Point", "Severity"]

PERIODS = {"1 h": 3600.0, "6 h": 21600.0, "24 h": 86400.0, "7 d": 604800.0}
_FRESH = 1.0  # seconds for which a look serves all who ask
_STEADY = 5.0  # seconds for which what each minute was like does
_STILL, _REST = 2.0, 50.0  # seconds for which a listing does, at least; of what it took, so many times
_NEWEST = 10
_ASK_SUPERVISOR_EVERY = 10.0  # seconds: it answers about 64 slots, which costs more than all the rest
Listed = TypeVar("Listed")


@dataclass(frozen=True, slots=True)
class Look:
    """One look. `findings`: what needs a person, and what is worth knowing."""

    overview: Overview
    vitals: Vitals
    findings: tuple[Finding, ...]
    forecast: Forecast

    @property
    def is_running(self) -> bool:
        """Whether the stack takes files in and runs jobs."""
        return bool(self.overview.living("ingester") and self.overview.living("consumer"))


class _Table:
    """What supervisor says of its programs, asked seldom."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._programs: Sequence[Program] | None = None

    def programs(self, run: Path) -> Sequence[Program] | None:
        """What it said last."""
        with self._lock:
            now = time.monotonic()
            if self._asked_at is None or now - self._asked_at > _ASK_SUPERVISOR_EVERY:
                self._programs, self._asked_at = programs(run), now
            return self._programs


class _Directories:
    """The directories of one spool, listed once for all who ask, and not again if they have not changed.

    One that is large and never still takes long each time: its answer is kept for longer, so that all the listing
    takes a small part of the time, however many look.
    """

    def __init__(self, root: Path) -> None:
        self._lock = threading.Lock()
        self._tree = Tree(root, SystemClock())
        self._kept: dict[str, tuple[float, Answer[Any]]] = {}

    def newest(self) -> Answer[tuple[Output, ...]]:
        """Newest first."""
        return self._answer("newest", lambda: tuple(self._tree.newest_outputs(_NEWEST)))

    def branches(self) -> Answer[tuple[Branch, ...]]:
        """Each with the number of its files."""
        return self._answer("branches", lambda: tuple(self._tree.branches()))

    def _answer(self, name: str, question: Callable[[], Listed]) -> Answer[Listed]:
        with self._lock:
            until, kept = self._kept.get(name, (0.0, None))
            began = time.monotonic()
            if kept is not None and began < until:
                return kept
            found = answered(question)
            now = time.monotonic()
            self._kept[name] = (now + max(_STILL, _REST * (now - began)), found)
            return found


@Once
def _table() -> _Table:
    return _Table()


@Once
def _directories() -> _Directories:
    return _Directories(door().loaded.settings.spool)


def look() -> Answer[Look]:
    """One look at the spool, at most a second old, or why there can be none."""
    return ask(_look, "look", _FRESH)


def _look(app: App) -> Look:
    found = overview(app)
    vitals = look_at_vitals(app, _table().programs(app.spool.path("run")))
    return Look(found, vitals, tuple(examine(vitals)), forecast(app.index, found.jobs[State.PENDING], found.at))


def points(period: str) -> Answer[tuple[Point, ...]]:
    """What the last hour or day was like."""
    return ask(lambda app: trend(app.index, app.clock.now(), PERIODS[period]), f"points {period}", _STEADY)


def newest_outputs() -> Answer[tuple[Output, ...]]:
    """The newest outputs of all queues, some seconds old."""
    opened = answered(_directories)
    return opened.value.newest() if opened.value else Answer(opened.at, None, opened.problem, opened.hint)


def branches() -> Answer[tuple[Branch, ...]]:
    """The directories of the spool, with the number of their files: there without an index, too."""
    opened = answered(_directories)
    return opened.value.branches() if opened.value else Answer(opened.at, None, opened.problem, opened.hint)


def spool() -> str:
    """Which spool this console shows."""
    try:
        loaded: Loaded = door().loaded
    except PqfsError:
        return "?"
    return str(loaded.settings.spool)
