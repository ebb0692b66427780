"""The terms of each queue: its section of pqfs.toml, and over it what people set while everything runs.

Computed here and nowhere else. What people set stands in the queue's row (and, so that a rebuild keeps it, in
`meta/queue.<name>.json`). A process looks at the rows at each of its turns, so that it works by what was set last.
Which handler runs, and within which limits, stands in pqfs.toml only.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Union, get_args, get_origin, get_type_hints

from pqfs import plain
from pqfs.edition import Unread
from pqfs.errors import Misconfigured, PqfsError
from pqfs.events import Word, emit
from pqfs.index import Index, Queue
from pqfs.settings import QueueSettings, Settings

ORIGIN = "pqfs queue set"
_IN_THE_FILE_ONLY = ("handler", "limits", "hooks")
_OLDER = {"max_attempts": "max_failures"}


class Terms:
    """The terms of all queues of one index, as they were at the last look."""

    def __init__(self, index: Index, settings: Settings, unread: Unread | None = None) -> None:
        self._index = index
        self._settings = settings
        self._unread = unread
        self.unread = frozenset[str]()  # queues of a newer pqfs.toml: their terms and handler are not known here
        self._rows: list[Queue] = []
        self._written: dict[str, str] | None = None
        self._set: dict[str, QueueSettings] = {}
        self._aside: dict[str, tuple[float, str]] = {}

    def look(self) -> list[Queue]:
        """Read the queues' rows, and work by what they say from now on. What has not changed is not read again."""
        rows = self._rows = self._index.queues()
        self.unread = self._unread.names() if self._unread else self.unread
        written = {row.name: row.settings for row in rows if row.settings}
        if written != self._written:
            known, self._written = self._written or {}, written
            self._set = {
                name: self._set[name] if known.get(name) == text and name in self._set else self._read(name, text)
                for name, text in written.items()
            }
        return rows

    def queue(self, name: str) -> QueueSettings:
        """The terms of a queue."""
        if self._written is None:
            self.look()
        return self._set.get(name) or self._settings.queue(name)

    def shut(self, now: float) -> frozenset[str]:
        """The queues to claim nothing from, as it was at the last look: paused, not known here, or set aside."""
        return self.unread | self.aside(now).keys() | {row.name for row in self._rows if row.is_paused(now)}

    def set_aside(self, name: str, until: float, why: str) -> None:
        """This process claims nothing from a queue until an instant: it could not run its handler."""
        self._aside[name] = until, why

    def aside(self, now: float) -> dict[str, str]:
        """The queues that were set aside by this process until after `now`, and why."""
        return {name: why for name, (until, why) in self._aside.items() if now < until}

    # ---------------------------------------------------------------- retention

    def keep(self, queue: str, what: str) -> float:
        """Seconds for which a queue's done, dead, cancelled or rows are kept; infinity for ever."""
        return self._settings.keep.of(self.queue(queue), what)

    def keep_usually(self, what: str) -> float:
        """The same for all queues that say nothing of it."""
        return self._settings.keep.of(self._settings.defaults, what)

    def keep_otherwise(self, what: str) -> dict[str, float]:
        """The queues that keep it for another time."""
        if self._written is None:
            self.look()
        usual = self.keep_usually(what)
        found = {name: self.keep(name, what) for name in sorted({*self._settings.queues, *self._set})}
        return {name: period for name, period in found.items() if period != usual}

    def _read(self, name: str, text: str) -> QueueSettings:
        base = self._settings.queue(name)
        try:
            return over(base, json.loads(text), name)
        except (PqfsError, ValueError) as error:  # pqfs.toml has changed since, and they contradict each other
            emit(Word.ALARM, what=f"what was set for queue {name} can not be obeyed", error=str(error))
            return base


def over(base: QueueSettings, wishes: Mapping[str, Any], queue: str) -> QueueSettings:
    """Settings with these values over them, checked as pqfs.toml is.

    Raises:
        Misconfigured: an unknown name, a bad value, a contradiction, or what stands in pqfs.toml only.
    """
    if not wishes:
        return base
    read = _read(wishes, queue)
    try:
        return replace(base, **{name: getattr(read, name) for name in wishes})
    except ValueError as error:
        raise Misconfigured(f"Queue {queue}: {str(error).rstrip('.')}.") from error


def _read(wishes: Mapping[str, Any], queue: str) -> QueueSettings:
    """The values alone, over the defaults: only those that were asked for count."""
    refuse_those_of_the_file(wishes)
    try:
        return plain.read(QueueSettings, dict(wishes))
    except plain.Doubt:
        from pqfs.validation import validated  # as in `settings`

        return validated(QueueSettings, wishes, {name: f"queue {queue}" for name in wishes})


def refuse_those_of_the_file(names: Sequence[str] | Mapping[str, Any]) -> None:
    """No screen and no command decides what code runs, or within which limits.

    Raises:
        Misconfigured: one of these names is of that kind.
    """
    for name in names:
        if name.partition(".")[0] in _IN_THE_FILE_ONLY:
            raise Misconfigured(
                f"{name} stands in pqfs.toml only: no command changes which code runs, or within which limits.",
                "Change it there, then: pqfs down, pqfs up",
            )


def as_written(name: str, text: str) -> tuple[str, Any]:
    """A name and a value from a command line: under its present name; `none` for a limit that is to be lifted."""
    name = _OLDER.get(name, name)
    return name, None if text == "none" and _may_be_none(name) else text


def names() -> list[str]:
    """What can be set of a queue while everything runs."""
    return [each.name for each in fields(QueueSettings) if each.name not in _IN_THE_FILE_ONLY]


def _may_be_none(name: str) -> bool:
    form = get_type_hints(QueueSettings, include_extras=False).get(name)
    return get_origin(form) in (Union, types.UnionType) and type(None) in get_args(form)


def wishes_of(queue: Queue) -> dict[str, Any]:
    """What people set of a queue, as it was written."""
    found = json.loads(queue.settings) if queue.settings else {}
    return found if isinstance(found, dict) else {}
