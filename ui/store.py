"""The console's one door to pqfs: opens the spool read-only, and answers questions about it.

Nothing here changes anything. Every answer is a `Look`: also *there is no index yet* and *the index can not be
read* are answers, with a sentence for the person, so that no page ever shows a stack trace.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from pqfs import health, report
from pqfs.clock import SystemClock
from pqfs.errors import PqfsError
from pqfs.settings import Loaded, load
from pqfs.stack.supervisor import programs
from pqfs.tree import Branch, Output, Tree
from pqfs.vitals import look as look_at
from pqfs.wiring import App, open_app

__all__ = ["Branch", "Look", "Output", "Store", "look"]

_NEWEST = 10


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the spool. `overview` is None when the index can not be read: `problem` and `hint` say why."""

    spool: Path
    overview: report.Overview | None
    findings: tuple[health.Finding, ...]
    branches: tuple[Branch, ...]
    outputs: tuple[Output, ...]
    problem: str = ""
    hint: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the stack takes files in and runs jobs."""
        found = self.overview
        return bool(found and found.living("ingester") and found.living("consumer"))


class Store:
    """One spool, opened once for all sessions and threads; opened again when its index was made anew."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._one_at_a_time = threading.Lock()  # a connection is not for two threads at once
        self._tree = Tree(loaded.settings.spool, SystemClock())
        self._app: App | None = None
        self._opened: tuple[int, int] | None = None

    def look(self) -> Look:
        """The spool as it is now."""
        with self._one_at_a_time:
            tree, outputs = tuple(self._tree.branches()), tuple(self._tree.newest_outputs(_NEWEST))
            spool = self._loaded.settings.spool
            try:
                app = self._current_app()
                found, findings = report.overview(app), health.examine(look_at(app, programs(spool / "run")))
            except PqfsError as error:
                self._close()
                return Look(spool, None, (), tree, outputs, error.message, error.hint)
            return Look(spool, found, tuple(findings), tree, outputs)

    def _current_app(self) -> App:
        present = self._identity()
        if self._app is None or present != self._opened:
            self._close()
            self._app, self._opened = open_app(self._loaded, read_only=True), present
        return self._app

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._loaded.settings.spool / "index.db")
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _close(self) -> None:
        if self._app is not None:
            self._app.close()
            self._app = None


@st.cache_resource
def _store() -> Store:
    """The store of this console; its spool comes from the settings, as for every command."""
    return Store(load())


def look() -> Look:
    """One look at the spool, or why there can be none."""
    try:
        return _store().look()
    except PqfsError as error:  # settings that contradict themselves
        return Look(Path("?"), None, (), (), (), error.message, error.hint)
