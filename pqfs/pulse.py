"""The pulse: when a process last did what it is there for, and what it has to say, in run/<program>.pulse.

Named by program and not by owner, so that it outlives its process: how long somebody has been missing can be
told from it. Written in place, at most once a second unless there is news; never synced. Whoever asks after the
health of a spool reads it; nobody decides about jobs by it.

Known weakness: on a copy-on-write volume without any room the writing fails and the pulse stands still; the rule
*disk-low* then says why.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pqfs.clock import Clock

SUFFIX = ".pulse"
_SIZE = 4096  # one page, always written whole: a reader sees one beat or the next
_NOT_MORE_OFTEN = 1.0


@dataclass(frozen=True, slots=True)
class Beat:
    """What a pulse file says. `at` and `started_at` are boot time of the boot `boot_id`, `wall` is Unix seconds.

    `doing`: a step that was begun at that beat and may take long; `trouble`: the error since that beat, if there was
    one; `said`: what the program adds about itself; `edition`: path and mark of the pqfs.toml that it has read.
    """

    program: str
    owner: str
    boot_id: str
    started_at: float
    at: float
    wall: float
    doing: str | None
    trouble: str | None
    said: Mapping[str, Any]
    edition: tuple[str, str] | None = None


class Pulse:
    """The writing end, of one process. A beat never fails: a process must not end because it can not say so."""

    def __init__(
        self, run: Path, program: str, owner: str, boot_id: str, clock: Clock, edition: tuple[str, str] | None = None
    ) -> None:
        self._path = run / f"{program}{SUFFIX}"
        self._clock = clock
        self._facts = {
            "program": program, "owner": owner, "boot_id": boot_id, "started_at": clock.boottime(),
            "edition": edition,
        }  # fmt: skip
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._at = self._wall = 0.0
        self._said: tuple[str | None, dict[str, Any]] | None = None
        self._noted: dict[str, Any] = {}

    def note(self, **noted: Any) -> None:
        """Figures that go with the next beat, whenever it is: they change all the time and are no news."""
        self._noted |= noted

    def beat(self, doing: str | None = None, **said: Any) -> None:
        """Note that the work was done just now, with what there is to say, or that a long step of it begins."""
        now = self._clock.boottime()
        if now - self._at < _NOT_MORE_OFTEN and (doing, said) == self._said:
            return
        self._at, self._wall, self._said = now, self._clock.now(), (doing, said)
        self._write(doing, None)

    def complain(self, trouble: str, **said: Any) -> None:
        """Note that the work could not be done; the last beat stays as old as it is."""
        self._said = (None, {**(self._said[1] if self._said else {}), **said})
        self._write(None, trouble[:500])

    def _write(self, doing: str | None, trouble: str | None) -> None:
        said = {**self._noted, **(self._said[1] if self._said else {})}
        news = {"at": self._at, "wall": self._wall, "doing": doing, "trouble": trouble, "said": said}
        data = json.dumps({**self._facts, **news}).encode()
        try:
            os.pwrite(self._descriptor, data.ljust(_SIZE - 1) + b"\n", 0)
        except OSError:
            pass  # no room: see above

    def close(self) -> None:
        """Stop. The file stays, but for a name that was made for this start only (it ends in our pid)."""
        if self._path.stem.endswith(f"-{os.getpid()}"):
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def read_beats(run: Path) -> list[Beat]:
    """The last beat of every program that has run on this spool, whether it lives or not."""
    try:
        paths = sorted(path for path in run.iterdir() if path.name.endswith(SUFFIX))
    except OSError:
        return []
    return [beat for path in paths if (beat := read_beat(path)) is not None]


def read_beat(path: Path) -> Beat | None:
    """The beat in one pulse file; None when there is none (yet)."""
    for _ in range(2):  # Race: a reader meets a writer half-way; the second time it is a later beat, whole.
        try:
            found = json.loads(path.read_bytes())
            return Beat(**found)
        except (ValueError, TypeError):
            continue
        except OSError:
            return None
    return None
