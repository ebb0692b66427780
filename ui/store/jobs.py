"""Jobs: pages of them by a filter, and all that is known of one."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pqfs import naming
from pqfs.browse import Preview, Sort, preview, printable_below
from pqfs.concerns import alarms_of
from pqfs.errors import Misconfigured
from pqfs.instants import instant
from pqfs.listing import NEWEST, Listing, Page, Wanted
from pqfs.model import Attempt, Job, State
from pqfs.provenance import Account, account, handler_of
from pqfs.story import tell
from pqfs.wiring import App
from ui.store.door import Answer, answered, ask

__all__ = ["Account", "Attempt", "Job", "Page", "Preview", "Sort", "State", "Wanted", "handler_of", "printable"]

SIZES = (50, 100, 200)
_BUDGET = 0.25  # seconds that one page may look for
printable = naming.printable


@dataclass(frozen=True, slots=True)
class Story:
    """One job: what is recorded of it, what is to be said of it, and the beginnings of its files."""

    account: Account
    sentences: tuple[str, ...]
    input: Preview | None
    output: Preview | None


def wanted(query: Mapping[str, str]) -> Answer[Wanted]:
    """The filter that a page's address asks for; a value that can not be is a problem, in words."""
    return answered(lambda: _wanted(query))


def _wanted(query: Mapping[str, str]) -> Wanted:
    now = time.time()
    state = query.get("state") or None
    if state is not None and state not in list(State):
        raise Misconfigured(f"{state!r} is no state.", f"There are: {', '.join(State)}.")
    return Wanted(
        state=State(state) if state else None,
        queue=query.get("queue") or None,
        name=query.get("name") or None,
        since=instant(query.get("since") or None, now),
        until=instant(query.get("until") or None, now),
        group=query.get("group") or None,
    )


def page(asked: Wanted, before: str, size: int) -> Answer[Page]:
    """A page of jobs, newest first; who asks for the same within a second gets the same."""

    def question(app: App) -> Page:
        deadline = time.monotonic() + _BUDGET  # begins when it is our turn
        return Listing(app.index).page(asked, before or NEWEST, size, lambda: time.monotonic() > deadline)

    return ask(question, f"page {asked} {before} {size}", 1.0)


def counts() -> Answer[dict[State, int]]:
    """How many jobs are in each state."""
    return ask(_counts, "counts", 1.0)


def _counts(app: App) -> dict[State, int]:
    found = app.index.counts()
    return {state: sum(jobs for _, each, jobs in found if each is state) for state in State}


def queue_names() -> Answer[list[str]]:
    """The queues."""
    return ask(lambda app: [each.name for each in app.index.queues()], "queue names", 2.0)


def story(job: str) -> Answer[Story]:
    """All that is known of a job by its id, the beginning of one, or the 12 digits at its end."""
    return ask(lambda app: _story(app, app.jobqueue.job(job)))


def _story(app: App, job: Job) -> Story:
    told = account(app, job)
    sentences = (*tell(app, job), *alarms_of(app, job))
    return Story(told, sentences, _seen(app, told.input.path), _seen(app, told.output.path if told.output else None))


def _seen(app: App, path: Path | None) -> Preview | None:
    return preview(app.spool.root, printable_below(app.spool.root, path)) if path else None


def command(asked: Wanted, before: str) -> str | None:
    """The command that lists the same; None where no command does."""
    queue = f"-q {shlex.quote(asked.queue)}" if asked.queue else ""
    if asked.name or asked.since or asked.until or (asked.group and asked.state):
        return None
    if asked.group:
        return f"pqfs dead show {shlex.quote(asked.group)} {queue}".rstrip()
    state, older = f"-s {asked.state}" if asked.state else "", f"--before {shlex.quote(before)}" if before else ""
    return " ".join(filter(None, ("pqfs jobs list", state, queue, older)))
