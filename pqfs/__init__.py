"""pqfs: a folder as a persistent job queue.

Programs open a queue with `get_queue`. Handlers import what they need from here: the context they are given, the
decorator that declares them, and the verdicts they may raise. Producers that only drop files find `drop`: a file into
an inbox, whole or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pqfs.delivery import Dropped, drop, drop_set
from pqfs.errors import Permanent, PqfsError, RetryLater
from pqfs.handlers import JobContext
from pqfs.model import DEFAULT_QUEUE, Job, State

if TYPE_CHECKING:
    from pathlib import Path

    from pqfs.handlers.declaring import handler
    from pqfs.interface import LeasedJob, Queue, Stats

__all__ = [
    "Dropped", "Job", "JobContext", "LeasedJob", "Permanent", "PqfsError", "Queue", "RetryLater", "State", "Stats",
    "drop", "drop_set", "get_queue", "handler",
]  # fmt: skip
__version__ = "0.1.0"

_LAZILY = {
    "handler": "pqfs.handlers.declaring", "LeasedJob": "pqfs.interface", "Queue": "pqfs.interface",
    "Stats": "pqfs.interface",
}  # fmt: skip


def get_queue(
    address: str | Path | None = None, *, queue: str = DEFAULT_QUEUE, spool: str | Path | None = None
) -> Queue:
    """Open a queue. Close it when done, or use it as a context manager.

    Args:
        address: the spool: `sqlite:////var/lib/pqfs/spool`, or its path; by default the one that the command line
            would use (`PQFS_SPOOL`, pqfs.toml, ./spool). Or the database of its index, where that is on a server:
            `postgresql://pqfs@db.example/pqfs`.
        queue: which of its queues.
        spool: the spool that belongs to that database, as this host mounts it; by default the command line's.

    Raises:
        Misconfigured: there is no such spool, or no backend for such an address.
        QueueNotFound: the spool has no queue of this name.
        IndexGone: the index is broken, missing or another spool's.
    """
    from pqfs.backends import open_queue  # the index and all that belongs to it: handlers need none of it

    return open_queue(address, queue, spool=spool)


def __getattr__(name: str) -> Any:
    """What only some need is imported when it is asked for."""
    if name not in _LAZILY:
        raise AttributeError(f"module 'pqfs' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZILY[name]), name)
