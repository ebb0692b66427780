"""How `pqfs queue list` and `pqfs queue show` look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pqfs.cli import terminal
from pqfs.cli.settings import rows_of_queue
from pqfs.dispatch import why_held_back
from pqfs.errors import QueueNotFound
from pqfs.model import DEAD, State
from pqfs.report import ConsumerStatus, QueueStatus, consumers, queue_statuses, to_json
from pqfs.terms import wishes_of
from pqfs.wiring import open_app

if TYPE_CHECKING:
    import typer

    from pqfs.wiring import App

_COLUMNS = ("name", "state", "waiting", "running", "held", "dead", "oldest_wait", "consumers", "priority")


def show_all(app: App, as_json: bool) -> None:
    """List them."""
    found = list(items(app))
    if as_json:
        terminal.put_json("queues", found)
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
        found = {each["name"]: each for each in items(app)}
        if name not in found:
            raise QueueNotFound(name, sorted(found))
        settings = rows_of_queue(loaded, app.terms, name, found[name]["set"])
    finally:
        app.close()
    if as_json:
        terminal.put_json("queues", [{**found[name], "settings": settings}])
        return
    for key, value in _line(found[name]).items():
        terminal.put(f"{key.replace('_', ' '):<12} {'-' if value is None else value}")
    for _, sentence in _troubles(found[name]):
        terminal.put(sentence)
    terminal.put("")
    terminal.put_table(settings, ("setting", "value", "origin"))


def items(app: App) -> Iterator[dict[str, Any]]:
    """Every queue, as JSON has it."""
    now, alive = app.clock.now(), [each for each in consumers(app) if each.is_alive]
    rows = {row.name: row for row in app.terms.look()}
    for each in queue_statuses(app, app.index.counts(), now):
        yield {
            **to_json(each),
            "jobs": {str(state): each.jobs.get(state, 0) for state in State},
            "held_back": " ".join(why_held_back(app.index, app.terms, each.name, now)) or None,
            "consumers": _serving(alive, each),
            "accepts": app.terms.queue(each.name).accepts,
            "priority": app.terms.queue(each.name).priority,
            "set": wishes_of(rows[each.name]),
        }


def _serving(alive: list[ConsumerStatus], queue: QueueStatus) -> int:
    return sum(each.serves(queue.name) for each in alive)


def _line(item: dict[str, Any]) -> dict[str, Any]:
    """A queue for people."""
    jobs = item["jobs"]
    return {
        "name": item["name"], "state": ", ".join(word for word, _ in _troubles(item)) or "open",
        "waiting": jobs[State.PENDING], "running": jobs[State.PROCESSING], "held": jobs[State.HELD],
        "dead": sum(jobs[state] for state in DEAD), "completed": jobs[State.COMPLETED],
        "oldest_wait": item["oldest_wait"], "consumers": item["consumers"], "priority": item["priority"],
    }  # fmt: skip


def _troubles(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What holds a queue up, if anything: in a word, and in a sentence."""
    if item["paused_at"]:
        until = f" until {item['paused_until']}" if item["paused_until"] else ""
        why = f": {item['paused_reason']}" if item["paused_reason"] else ""
        yield "paused", f"It is paused by {item['paused_by']} since {item['paused_at']}{until}{why}."
    if not item["accepts"]:
        yield "closed", f"It takes nothing in. Open it: pqfs queue resume {item['name']}"
    if item["held_back"]:
        yield "at its limit", item["held_back"]
    if not item["consumers"] and item["jobs"][State.PENDING]:
        yield "unserved", f"No living consumer takes its jobs. Start one: pqfs consume -q {item['name']}"
