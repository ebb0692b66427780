"""One look of `pqfs monitor`: everything that a frame shows, asked read-only in about a millisecond."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pqfs.errors import PqfsError, explained
from pqfs.fingerprint import fingerprint
from pqfs.health import Finding, alarms, examine
from pqfs.listing import NEWEST
from pqfs.model import DEAD, Job
from pqfs.report import Overview, overview, to_json
from pqfs.stack.supervisor import programs
from pqfs.vitals import look
from pqfs.wiring import open_app

if TYPE_CHECKING:
    from pqfs.settings import Loaded
    from pqfs.vitals import Program
    from pqfs.wiring import App

_RECENT = 50  # dead letters of each state that are looked at, the newest ones
_ASK_SUPERVISOR_EVERY = 10.0  # seconds: it answers about 64 slots, which costs more than all the rest


@dataclass(frozen=True, slots=True)
class Trouble:
    """The newest dead letters that died of one cause, in one queue. `count` is of those that were looked at."""

    fingerprint: str
    queue: str
    count: int
    error: str
    last_at: float
    last_job: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What is to be shown. `trouble`: why there is nothing else to show."""

    spool: str
    seen: Overview | None = None
    findings: tuple[Finding, ...] = ()
    errors: tuple[Trouble, ...] = ()
    trouble: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The data of a frame: those of `status`, and the newest errors."""
        loud = alarms(list(self.findings))
        quiet = [each for each in self.findings if each not in loud]
        body = to_json(self.seen) if self.seen else {"spool": self.spool}
        said = {"alarms": to_json(loud), "notices": to_json(quiet), "errors": to_json(self.errors)}
        return {**body, **said, "trouble": self.trouble}


class Watcher:
    """Takes frames of one spool, over an index that may go away, come back, and be made anew meanwhile."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._app: App | None = None
        self._index: tuple[int, int] | None = None
        self._programs: Sequence[Program] | None = None
        self._ask_at = 0.0

    def frame(self) -> Frame:
        """One look; what keeps us from it is a frame, too."""
        settings = self._loaded.settings
        try:
            return self._take(str(settings.spool))
        except (PqfsError, OSError) as error:
            known = explained(error)
            if known is None:
                raise
            self.close()
            return Frame(str(settings.spool), trouble=f"{known.message} {known.hint}".strip())

    def _take(self, spool: str) -> Frame:
        app = self._opened()
        findings = examine(look(app, self._asked()))
        return Frame(spool, overview(app), tuple(findings), tuple(_errors(app)))

    def _opened(self) -> App:
        """The spool, opened to read: anew when another index lies there."""
        found = self._loaded.settings.index_file
        identity = _identity(os.stat(found)) if found.exists() else None
        if self._app is None or identity != self._index:
            self.close()
            self._app, self._index = open_app(self._loaded, read_only=True), identity
        return self._app

    def _asked(self) -> Sequence[Program] | None:
        if time.monotonic() >= self._ask_at:
            self._programs = programs(self._loaded.settings.spool / "run")
            self._ask_at = time.monotonic() + _ASK_SUPERVISOR_EVERY
        return self._programs

    def close(self) -> None:
        """Let the spool go."""
        if self._app is not None:
            self._app.close()
            self._app = None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _errors(app: App) -> list[Trouble]:
    """The newest dead letters by what they died of, the latest first."""
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in (each for state in sorted(DEAD) for each in app.index.jobs(state, None, NEWEST, _RECENT)):
        groups.setdefault((job.fingerprint or fingerprint(job.error), job.queue), []).append(job)
    return sorted((_trouble(*key, jobs) for key, jobs in groups.items()), key=lambda each: -each.last_at)


def _trouble(mark: str, queue: str, jobs: list[Job]) -> Trouble:
    last = max(jobs, key=lambda job: job.updated_at)
    return Trouble(mark, queue, len(jobs), last.error or "no reason was given", last.updated_at, last.id)
