"""From an address to a queue: which backend it names, and how that is opened.

    get_queue()                                   the spool that the command line would use, its default queue
    get_queue("sqlite:////var/lib/pqfs/spool")    this spool; `sqlite:///spool` is relative to the working directory
    get_queue("/var/lib/pqfs/spool", queue="scans")

With an address the settings are those of the `pqfs.toml` beside that spool, if there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pqfs.clock import Clock
from pqfs.errors import Misconfigured
from pqfs.interface import Queue
from pqfs.model import DEFAULT_QUEUE
from pqfs.settings import Loaded, load
from pqfs.spoolqueue import SpoolQueue
from pqfs.wiring import open_app

_SQLITE = "sqlite:///"


def open_queue(
    address: str | Path | None = None, queue: str = DEFAULT_QUEUE, clock: Clock | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Queue:  # fmt: skip
    """Open a queue; see `pqfs.get_queue`. `flags`: settings by their dotted names, over all others."""
    app = open_app(_settings(address, flags or {}), clock=clock)
    try:
        return SpoolQueue(app, queue)
    except BaseException:
        app.close()
        raise


def _settings(address: str | Path | None, flags: Mapping[str, Any]) -> Loaded:
    if address is None:
        return load(flags)
    spool = _spool(str(address)).absolute()
    beside = spool.parent / "pqfs.toml"
    return load({"spool": str(spool), "config": str(beside) if beside.is_file() else None, **flags})


def _spool(address: str) -> Path:
    scheme, mark, _ = address.partition("://")
    if not mark:
        return Path(address)
    if not address.startswith(_SQLITE) or address == _SQLITE:
        raise Misconfigured(
            f"There is no backend for {scheme}:// addresses." if scheme != "sqlite" else f"{address} names no spool.",
            "A spool with an index on SQLite is named so: sqlite:////var/lib/pqfs/spool",
        )
    return Path(address.removeprefix(_SQLITE))
