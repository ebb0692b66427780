"""The options by which commands choose jobs, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from pqfs.errors import Refused
from pqfs.instants import instant, seconds
from pqfs.model import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pqfs.index.filters import Filter

Ids = Annotated[list[str] | None, typer.Argument(help="Job ids, or their beginnings; - reads them from stdin.")]
OfState = Annotated[State | None, typer.Option("--state", "-s", help="Only jobs in this state.")]
OfQueue = Annotated[str | None, typer.Option("--queue", "-q", help="Only jobs of this queue.")]
Everything = Annotated[bool, typer.Option("--all", help="Every job that the verb is usually for.")]
OfName = Annotated[str | None, typer.Option("--name", help="Only jobs whose name fits this pattern: '*.pdf'.")]
Since = Annotated[str | None, typer.Option("--since", help="Arrived at this instant or later (ISO 8601; 2h: ago).")]
Until = Annotated[str | None, typer.Option("--until", help="Arrived before this instant.")]
OlderThan = Annotated[str | None, typer.Option("--older-than", help="In their state for longer than this: 7d.")]
OfGroup = Annotated[str | None, typer.Option("--group", help="Only dead letters of this group (pqfs dead list).")]
DiedSince = Annotated[str | None, typer.Option("--since", help="Died at this instant or later (ISO 8601; 2h: ago).")]
DiedUntil = Annotated[str | None, typer.Option("--until", help="Died before this instant.")]


@dataclass(frozen=True, slots=True)
class Wish:
    """The options of a filter as they were written. `died`: since and until mean the last change of state."""

    state: State | None = None
    queue: str | None = None
    everything: bool = False
    name: str | None = None
    since: str | None = None
    until: str | None = None
    older_than: str | None = None
    group: str | None = None
    died: bool = False

    @property
    def is_given(self) -> bool:
        """Whether any of them was written."""
        texts = (self.state, self.queue, self.name, self.since, self.until, self.older_than, self.group)
        return self.everything or any(each is not None for each in texts)

    def filter(self, states: Sequence[State], now: float) -> Filter:
        """What they mean now, for jobs in these states.

        Raises:
            Misconfigured: an instant or a duration that is none.
            Refused: a group that is none.
        """
        from pqfs.fingerprint import DIGITS
        from pqfs.index.filters import Filter

        group = self.group.lower() if self.group is not None else None
        if group is not None and (len(group) != DIGITS or set(group) - set("0123456789abcdef")):
            raise Refused(f"{self.group} is no group of dead letters.", "See them with: pqfs dead list")
        since, until = instant(self.since, now), instant(self.until, now)
        age = seconds(self.older_than)
        changed = None if age is None else now - age
        if self.died:
            return Filter(tuple(states), self.queue, self.name, None, None, since, _least(until, changed), group)
        return Filter(tuple(states), self.queue, self.name, since, until, None, changed, group)


def _least(*instants: float | None) -> float | None:
    return min((each for each in instants if each is not None), default=None)
