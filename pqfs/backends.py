"""From an address to a queue: which backend it names, and how that is opened.

    get_queue()                                   the spool that the command line would use, its default queue
    get_queue("sqlite:////var/lib/pqfs/spool")    this spool; `sqlite:///spool` is relative to the working directory
    get_queue("/var/lib/pqfs/spool", queue="scans")
    get_queue("postgresql://pqfs@db.example/pqfs", spool="/srv/spool")    that index, whatever they say

With an address of a spool, or `spool`, the settings are those of the `pqfs.toml` beside that spool, if there is one.
A database says nothing of where its spool is mounted on this host: without `spool` it is the command line's.
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

_SQLITE, _POSTGRES = "sqlite:///", ("postgresql", "postgres")


def open_queue(
    address: str | Path | None = None, queue: str = DEFAULT_QUEUE, clock: Clock | None = None,
    flags: Mapping[str, Any] | None = None, spool: str | Path | None = None,
) -> Queue:  # fmt: skip
    """Open a queue; see `pqfs.get_queue`. `flags`: settings by their dotted names, over all others."""
    place, index = _place(None if address is None else str(address), None if spool is None else Path(spool))
    app = open_app(_settings(place, {"index": index, **(flags or {})}), clock=clock)
    try:
        return SpoolQueue(app, queue)
    except BaseException:
        app.close()
        raise


def _settings(spool: Path | None, flags: Mapping[str, Any]) -> Loaded:
    if spool is None:
        return load(flags)
    beside = spool.absolute().parent / "pqfs.toml"
    return load({"spool": str(spool.absolute()), "config": str(beside) if beside.is_file() else None, **flags})


def _place(address: str | None, spool: Path | None) -> tuple[Path | None, str | None]:
    """The spool and the address of its index; None for what the settings say."""
    if address is None or address.partition("://")[0] in _POSTGRES:
        return spool, address
    if spool is not None:
        raise Misconfigured(
            f"{address} names a spool, and spool={str(spool)!r} another.", "Give `spool` with a database only."
        )
    return _spool(address), None


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
