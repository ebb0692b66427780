"""Schedules: what is due when, and what somebody who is signed in does about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pqfs.firing import Firing
from pqfs.schedules import Plan, Schedules, listed
from pqfs.wiring import App
from ui.store.door import Answer, ask
from ui.store.undertakings import Author, Undertaking, begin

Steer = Callable[[Schedules, float], object]


def schedules() -> Answer[list[dict[str, Any]]]:
    """Every schedule, as `pqfs schedule list --json` tells it."""
    return ask(lambda app: listed(app.index))


def add(name: str, cron: str, zone: str, text: str, queue: str, author: Author) -> Answer[int]:
    """Have a job of this text made at each due time."""
    plan = Plan(cron.strip(), zone.strip() or "UTC", text=text, queue=queue.strip() or "default")
    named = name.strip()
    return _steer(
        f"Add schedule {named}", author, lambda it, now: it.add(named, plan, author.actor, author.reason, now)
    )


def pause(name: str, author: Author) -> Answer[int]:
    """Let its due times pass without a job."""
    return _steer(f"Pause schedule {name}", author, lambda it, now: it.pause(name, author.actor, author.reason, now))


def resume(name: str, author: Author) -> Answer[int]:
    """Go on with its next due time."""
    return _steer(
        f"Resume schedule {name}", author, lambda it, now: it.resume(name, author.actor, author.reason, now)
    )


def remove(name: str, author: Author) -> Answer[int]:
    """Forget it; its jobs stay."""
    return _steer(
        f"Remove schedule {name}", author, lambda it, now: it.remove(name, author.actor, author.reason, now)
    )


def run(name: str, author: Author) -> Answer[int]:
    """Make a job of it now."""

    def work(app: App, undertaking: Undertaking) -> str:
        made = Firing(app.jobqueue, app.clock).run(name, author.actor, author.reason)
        undertaking.note(made.id)
        return f"Job {made.id} is made of schedule {name}."

    return begin(f"Run schedule {name}", author, work)


def _steer(title: str, author: Author, act: Steer) -> Answer[int]:
    def work(app: App, undertaking: Undertaking) -> str:
        act(Schedules(app.jobqueue), app.clock.now())
        return f"{title}: done."

    return begin(title, author, work)
