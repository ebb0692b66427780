"""What did not go well: dead letters by their error, and what could not become a job."""

from __future__ import annotations

from dataclasses import dataclass

from pqfs.index.filters import Filters, Group
from pqfs.naming import printable_path
from pqfs.rejected import Refusal, page
from pqfs.rejected import refusal as find
from ui.store.door import Answer, ask

__all__ = ["Group", "Refusal", "Refusals", "printable_path"]

MOST_GROUPS = 200
PAGE = 100


@dataclass(frozen=True, slots=True)
class Refusals:
    """A page of what was refused. `next`: the number after which the next page begins; None: there is none."""

    refusals: tuple[Refusal, ...]
    next: str | None
    count: int


def groups(queue: str | None) -> Answer[list[Group]]:
    """Dead letters by error and queue, the largest group first. With a million of them it takes a moment: kept."""
    return ask(lambda app: Filters(app.index).groups(queue, MOST_GROUPS), f"groups {queue}", 5.0)


def refused(after: str) -> Answer[Refusals]:
    """A page of what lies in rejected/, in order of number."""
    return ask(lambda app: _refusals(*page(app.spool, after, PAGE + 1)))


def _refusals(found: list[Refusal], count: int) -> Refusals:
    following = found[PAGE - 1].number if len(found) > PAGE else None
    return Refusals(tuple(found[:PAGE]), following, count)


def refusal(number: str) -> Answer[Refusal]:
    """One refusal by its number."""
    return ask(lambda app: find(app.spool, number))
