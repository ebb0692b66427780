"""How `pqfs queue list` and `pqfs queue show` look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pqfs.cli import terminal
from pqfs.errors import QueueNotFound
from pqfs.model import DEAD, State
from pqfs.origins import rows_of_queue
from pqfs.outlook import Outlook, outlooks
from pqfs.report import to_json
from pqfs.wiring import open_app

if TYPE_CHECKING:
    import typer

    from pqfs.wiring import App

_COLUMNS = ("name", "state", "waiting", "running", "held", "dead", "oldest_wait", "consumers", "priority")


def show_all(app: App, as_json: bool) -> None:
    """List them."""
    found = outlooks(app)
    if as_json:
        terminal.put_json("queues", [_item(each) for each in found])
        return
    terminal.put_table([_line(each) for each in found], _COLUMNS)


def show(context: typer.Context, name: str, as_json: bool) -> None:
    """One queue, with its settings and the origin of each.

    Raises:
        QueueNotFound: there is none of this name.
    """
    loaded = terminal.loaded(context)
    app = open_app(loaded, read_only=True, tell=terminal.say)
    try:
        found = {each.status.name: each for each in outlooks(app)}
        if name not in found:
            raise QueueNotFound(name, sorted(found))
        settings = rows_of_queue(loaded, app.terms, name, found[name].wishes)
    finally:
        app.close()
    if as_json:
        terminal.put_json("queues", [{**_item(found[name]), "settings": settings}])
        return
    for key, value in _line(found[name]).items():
        terminal.put(f"{key.replace('_', ' '):<12} {'-' if value is None else value}")
    for _, sentence in found[name].troubles():
        terminal.put(sentence)
    terminal.put("")
    terminal.put_table(settings, ("setting", "value", "origin"))


def _item(found: Outlook) -> dict[str, Any]:
    """A queue, as JSON has it."""
    return {
        **to_json(found.status),
        "jobs": {str(state): found.status.jobs.get(state, 0) for state in State},
        "held_back": found.held_back,
        "consumers": found.consumers,
        "accepts": found.accepts,
        "priority": found.priority,
        "set": found.wishes,
    }


def _line(found: Outlook) -> dict[str, Any]:
    """A queue for people."""
    item = _item(found)
    jobs = item["jobs"]
    return {
        "name": item["name"], "state": ", ".join(word for word, _ in found.troubles()) or "open",
        "waiting": jobs[State.PENDING], "running": jobs[State.PROCESSING], "held": jobs[State.HELD],
        "dead": sum(jobs[state] for state in DEAD), "completed": jobs[State.COMPLETED],
        "oldest_wait": item["oldest_wait"], "consumers": item["consumers"], "priority": item["priority"],
    }  # fmt: skip
