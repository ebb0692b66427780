"""The tree of the spool: what lies where, beside what the index says; and the check that finds every disagreement.

Weighing 100,000 files, and checking them, is done by threads of their own at a low priority, one at a time for all
who look; pages show what the last one found, and how old that is.
"""

from __future__ import annotations

import os
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from pqfs.browse import Entry, Folder, Preview, Sort, folder, preview
from pqfs.errors import PqfsError, explained
from pqfs.events import trouble
from pqfs.flaws import Finding
from pqfs.fsck import Fsck
from pqfs.model import State
from pqfs.weighing import Pairing, Weight, compare, weigh
from pqfs.wiring import App
from ui.store.door import Answer, Door, ask, door, look_at
from ui.store.once import Once

__all__ = ["Check", "Entry", "Finding", "Folder", "Pairing", "Preview", "Scales", "Sort", "Weight"]

MOST_FINDINGS = 500
_FRESH = 5.0  # seconds
_LOW_PRIORITY = 10


@dataclass(frozen=True, slots=True)
class Scales:
    """The tree as it was weighed at an instant, and the index held against it. `at` None: not yet."""

    at: float | None = None
    weights: tuple[Weight, ...] = ()
    pairings: tuple[Pairing, ...] = ()
    is_weighing: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A check as far as it is. `ended_at` None: it runs, or (`began_at` None) there was none yet.

    `seen`: how many rows, files and outputs it has looked at; `is_cut`: it ended because it has found so much.
    """

    began_at: float | None = None
    ended_at: float | None = None
    seen: tuple[tuple[str, int], ...] = ()
    findings: tuple[Finding, ...] = ()
    is_cut: bool = False
    problem: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self.began_at is not None and self.ended_at is None


class _Weighing:
    """Weighs one spool again when somebody asks and what is known is no longer fresh."""

    def __init__(self, opened: Door) -> None:
        self._door = opened
        self._lock = threading.Lock()
        self._known = Scales()

    def scales(self) -> Scales:
        """What is known now; a new weighing has begun if that is old."""
        with self._lock:
            age = None if self._known.at is None else time.time() - self._known.at
            if not self._known.is_weighing and (age is None or age > _FRESH):
                self._known = replace(self._known, is_weighing=True)
                _begin(self._weigh)
            return self._known

    def _weigh(self) -> None:
        weights = weigh(self._door.loaded.settings.spool)
        counted = self._door.ask(_by_state)
        pairings = compare(counted.value, weights) if counted.value is not None else ()
        with self._lock:
            self._known = Scales(time.time(), weights, pairings)


class _Checking:
    """Runs one check at a time."""

    def __init__(self, opened: Door) -> None:
        self._door = opened
        self._lock = threading.Lock()
        self._known = Check()
        self._is_asked_to_end = False

    def known(self) -> Check:
        """What has been found so far, or was found last."""
        with self._lock:
            return self._known

    def start(self) -> None:
        """Begin one, if none runs."""
        with self._lock:
            if not self._known.is_running:
                self._known, self._is_asked_to_end = Check(began_at=time.time()), False
                _begin(self._check)

    def stop(self) -> None:
        """Let the one that runs end soon."""
        self._is_asked_to_end = True

    def _check(self) -> None:
        try:
            app = self._door.open()
            try:
                self._go_through(app)
            finally:
                app.close()
        except InterruptedError:
            self._note(is_cut=True)
        except (PqfsError, OSError) as error:
            known = explained(error)
            self._note(problem=known.message if known else f"{type(error).__name__}: {error}")
        finally:
            self._note(ended_at=time.time())

    def _go_through(self, app: App) -> None:
        findings: list[Finding] = []
        for finding in Fsck(app, self._progress).findings():
            findings.append(finding)
            self._note(findings=tuple(findings))
            if len(findings) >= MOST_FINDINGS or self._is_asked_to_end:
                self._note(is_cut=True)
                return

    def _progress(self, what: str, count: int) -> None:
        seen = dict(self.known().seen)
        seen[what] = count
        self._note(seen=tuple(seen.items()))
        if self._is_asked_to_end:
            raise InterruptedError("it was stopped")

    def _note(self, **known: object) -> None:
        with self._lock:
            self._known = replace(self._known, **known)  # type: ignore[arg-type]


def _begin(work: Callable[[], None]) -> None:
    """Run something apart from all pages, at a low priority."""

    def run() -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW_PRIORITY)
            work()
        except Exception:  # noqa: BLE001 -- nobody waits for this thread; what went wrong stands in the log
            trouble("looking through the spool for the console")

    threading.Thread(target=run, name="console", daemon=True).start()


def _by_state(app: App) -> dict[State, int]:
    found = app.index.counts()
    return {state: sum(jobs for _, each, jobs in found if each is state) for state in State}


@Once
def _weighing() -> _Weighing:
    return _Weighing(door())


@Once
def _checking() -> _Checking:
    return _Checking(door())


def checker() -> _Checking:
    """Who checks, for who has repaired something and wants it looked at again."""
    return _checking()


def scales() -> Answer[Scales]:
    """What lies where, some seconds old; and the index beside it."""
    return look_at(lambda _: _weighing().scales())


def check() -> Answer[Check]:
    """The check that runs, or the last one."""
    return look_at(lambda _: _checking().known())


def start_check() -> None:
    """Begin a check in the background."""
    look_at(lambda _: _checking().start())


def stop_check() -> None:
    """End it soon."""
    look_at(lambda _: _checking().stop())


def contents(path: str, after: str) -> Answer[Folder]:
    """A part of a directory of the spool."""
    return look_at(lambda loaded: folder(loaded.settings.spool, path, after))


def beginning(path: str) -> Answer[Preview]:
    """The beginning of a file of the spool."""
    return look_at(lambda loaded: preview(loaded.settings.spool, path))


def job_of(path: str) -> Answer[str]:
    """The job that a file of the spool belongs to, by its name; an empty word when none does."""
    return ask(lambda app: _job_of(app, path.rpartition("/")[2]))


def _job_of(app: App, name: str) -> str:
    from pqfs import naming

    text = os.fsdecode(naming.original(name))
    parsed = naming.parse_claimed(text) or naming.parse_parked(text) or naming.parse_scratch(text)
    if parsed:
        return parsed.job if app.index.job(parsed.job) else ""
    job = app.index.job_by_output(text) if naming.is_text(text) else None
    return job.id if job else ""


def quoted(path: str) -> str:
    """A path as a shell takes it."""
    return shlex.quote(path)
