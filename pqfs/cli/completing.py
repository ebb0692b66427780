"""What a shell offers behind the Tab key: the queues, consumers and jobs of the spool that the line names.

Asked read-only, and only while a shell completes: every other start of a command does not even read this module.
What can not be asked offers nothing: a person who types must not be shown errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pqfs.errors import PqfsError
from pqfs.listing import NEWEST

if TYPE_CHECKING:
    from pqfs.wiring import App

_OFFERED = 50

Offer = Callable[["App", str], list[str]]


def with_values(command: Any, group: str = "") -> Any:
    """The same command; it and those below it complete the names of what there is in the spool."""
    for name, inner in getattr(command, "commands", {}).items():
        with_values(inner, name if hasattr(inner, "commands") else group)
    for parameter in command.params:
        offer = _offer_of(group, parameter.name)
        if offer is not None:
            parameter._custom_shell_complete = _completer(offer)
    return command


def _offer_of(group: str, name: str) -> Offer | None:
    """What a parameter of this name is filled with. `name` alone means a thing of its group."""
    if name in ("name", "names"):
        return {"queue": _queues, "consumers": _consumers}.get(group)
    by_name: dict[str, Offer] = {
        "queue": _queues, "job": _jobs, "ids": _jobs, "target": _jobs, "consumer": _consumers,
    }  # fmt: skip
    return by_name.get(name)


def _completer(offer: Offer) -> Callable[[Any, Any, str], list[str]]:
    def complete(context: Any, parameter: Any, incomplete: str) -> list[str]:
        from pqfs.settings import load
        from pqfs.wiring import open_app

        given = context.find_root().params
        try:
            app = open_app(load({name: given.get(name) for name in ("spool", "logs", "config")}), read_only=True)
            try:
                return [each for each in offer(app, incomplete) if each.startswith(incomplete)]
            finally:
                app.close()
        except (PqfsError, OSError):
            return []

    return complete


def _queues(app: App, begun: str) -> list[str]:
    return [queue.name for queue in app.index.queues()]


def _consumers(app: App, begun: str) -> list[str]:
    named = {each.program for each in app.index.consumers()} | set(app.index.roster() or ())
    return sorted(named)


def _jobs(app: App, begun: str) -> list[str]:
    """The jobs that begin so; the newest ones before anything was typed."""
    if not begun:
        return [job.id for job in app.index.jobs(None, None, NEWEST, _OFFERED)]
    return [] if set(begun) - set("0123456789abcdef-") else [job.id for job in app.index.jobs_like(begun, _OFFERED)]
