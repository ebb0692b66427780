"""Which jobs a bulk act means: ids, ids from stdin, or a filter."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from pqfs.cli.filters import Wish
from pqfs.errors import Refused

if TYPE_CHECKING:
    from pqfs.index.filters import Filter
    from pqfs.model import State
    from pqfs.verbs import Bulk
    from pqfs.wiring import App

_SHOWN = 5
_COUNTED = 1000  # jobs of a filter that are counted before the question, where counting means looking at each


@dataclass(frozen=True, slots=True)
class Wanted:
    """The jobs that a command line names, read as they are needed.

    `is_one`: one id was written out, so nothing need be asked. `total`: how many; None where more than `counted`
    would have to be looked at to know. `left`: jobs that fit as well, in a state that the verb is for and that a
    filter does not mean by itself, by that state.
    """

    ids: Callable[[], Iterator[str]]
    is_one: bool
    total: int | None
    counted: int = 0
    first: list[str] = field(default_factory=list)
    left: dict[State, int] = field(default_factory=dict)

    @property
    def number(self) -> str:
        """How many, for people: `1 job`, `12 jobs`, `more than 1000 jobs`."""
        if self.total is None:
            return f"more than {self.counted} jobs"
        return f"{self.total} job" if self.total == 1 else f"{self.total} jobs"


def wanted(app: App, bulk: Bulk, ids: Sequence[str], wish: Wish) -> Wanted:
    """The jobs that are meant.

    Raises:
        Refused: nothing is named, ids and a filter are named together, or no job in that state can be meant.
    """
    if bool(ids) == wish.is_given:
        raise Refused(
            "Name jobs by id, or by a filter (--queue, --since, --all …), but not both.",
            f"See: {' '.join(filter(None, ('pqfs', bulk.group, bulk.word)))} --help",
        )
    if ids:
        named = list(dict.fromkeys(_expanded(ids)))
        return Wanted(lambda: iter(named), len(ids) == 1 and ids[0] != "-", len(named), first=named[:_SHOWN])
    if wish.state and wish.state not in bulk.states:
        raise Refused(f"{bulk.word} is not possible for jobs that are {wish.state}.")
    if wish.state:
        return filtered(app, wish.filter((wish.state,), app.clock.now()))
    found = filtered(app, wish.filter(bulk.usual, app.clock.now()))
    return replace(found, left=_left(app, wish, [state for state in bulk.states if state not in bulk.usual]))


def _left(app: App, wish: Wish, states: Sequence[State]) -> dict[State, int]:
    """How many fit in each of these states; of many so many as are looked at."""
    from pqfs.index.filters import Filters

    source, now = Filters(app.index), app.clock.now()
    counts = {state: source.count(wish.filter((state,), now), _COUNTED)[0] for state in states}
    return {state: count for state, count in counts.items() if count}


def filtered(app: App, meant: Filter) -> Wanted:
    """The jobs that a filter means: chunk by chunk, never all at once."""
    from pqfs.index.filters import Filters

    source = Filters(app.index)
    count, is_all = source.count(meant, _COUNTED)
    first = [job.id for job in islice(source.jobs(meant), _SHOWN)]
    return Wanted(lambda: (job.id for job in source.jobs(meant)), False, count if is_all else None, count, first)


def _expanded(ids: Sequence[str]) -> Iterator[str]:
    for each in ids:
        if each == "-":
            yield from (line.split()[0] for line in sys.stdin if line.strip())
        else:
            yield each
