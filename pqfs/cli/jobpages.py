"""Pages of `pqfs jobs list`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pqfs.cli import terminal
from pqfs.cli.filters import Wish
from pqfs.listing import NEWEST, Listing, Wanted
from pqfs.model import Job, State
from pqfs.report import job_item
from pqfs.wiring import App

_BY_END = (State.HELD, State.FAILED, State.UNPROCESSABLE, State.CANCELLED)  # listed by end, so not by pages of ids
_COLUMNS = ("id", "state", "queue", "priority", "attempt", "size", "updated_at", "name")


def page(app: App, wish: Wish, before: str | None, limit: int) -> tuple[Sequence[Job], str | None]:
    """Up to `limit` jobs, and the id before which the next page begins; None when there is none.

    Raises:
        Misconfigured: an instant that is none.
        Refused: a group that is none.
    """
    meant = wish.filter((), app.clock.now())
    wanted = Wanted(wish.state, wish.queue, wish.name, meant.arrived_since, meant.arrived_until, meant.group)
    if not wanted.is_counted:
        return _searched(Listing(app.index), wanted, before or NEWEST, limit)
    found = app.index.jobs(wish.state, wish.queue, before or NEWEST, limit)
    has_more = len(found) == limit and wish.state not in _BY_END
    return found, found[-1].id if has_more else None


def _searched(listing: Listing, wanted: Wanted, before: str, limit: int) -> tuple[list[Job], str | None]:
    """The same by what no index leads to: however long it takes, all is looked at."""
    found = list[Job]()
    after: str | None = before
    while after is not None and len(found) < limit:
        part = listing.page(wanted, after, limit - len(found))
        found += part.jobs
        after = part.next
    return found, after


def say(jobs: Sequence[Job], after: str | None, form: str) -> None:
    """Put a page out as a `table`, as `json`, or as `ids` alone."""
    found: list[dict[str, Any]] = [job_item(job) for job in jobs]
    if form == "json":
        terminal.put_json("jobs", found, next=after)
    elif form == "ids":
        for each in found:
            terminal.put(each["id"])
    else:
        terminal.put_table(found, _COLUMNS)
        if after:
            terminal.say(f"The next page: --before {after}")
