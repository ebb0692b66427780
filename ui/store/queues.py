"""Queues and consumers."""

from __future__ import annotations

from pqfs.outlook import Outlook, outlooks
from pqfs.report import ConsumerStatus, consumers
from ui.store.door import Answer, ask

__all__ = ["ConsumerStatus", "Outlook"]


def queues() -> Answer[tuple[Outlook, ...]]:
    """Every queue: its jobs, who serves it, what holds it up."""
    return ask(outlooks, "queues", 1.0)


def registered() -> Answer[tuple[ConsumerStatus, ...]]:
    """Every registered consumer, with what it runs now."""
    return ask(lambda app: tuple(consumers(app)), "consumers", 1.0)
