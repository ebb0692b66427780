"""Acts that change no row, noted in the audit all the same, where there is an index to note them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pqfs.cli import terminal
from pqfs.errors import PqfsError

if TYPE_CHECKING:
    from pqfs.index import Index
    from pqfs.settings import Loaded

_CHUNK = 500  # events in one commit


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did: `before` and `after` in words, `queue` where it concerns one."""

    verb: str
    queue: str | None = None
    reason: str | None = None
    before: str | None = None
    after: str | None = None


def record(loaded: Loaded, acts: Sequence[Act]) -> None:
    """Note what was done. The acts stand, whether this succeeds or not; a failure is told."""
    from pqfs.wiring import open_app

    if not acts or not loaded.settings.has_index():
        return
    try:
        app = open_app(loaded, tell=terminal.say)
        try:
            note(app.index, acts, app.clock.now())
        finally:
            app.close()
    except PqfsError as error:
        terminal.say(f"It is not noted in the audit: {error.message}")


def note(index: Index, acts: Sequence[Act], now: float) -> None:
    """Note it in an index that is open."""
    for first in range(0, len(acts), _CHUNK):
        with index.transaction():
            for act in acts[first : first + _CHUNK]:
                index.add_event(
                    now, terminal.actor(), act.verb, queue=act.queue, reason=act.reason, before=act.before,
                    after=act.after,
                )  # fmt: skip
