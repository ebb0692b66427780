"""Which job a content or an idempotency key belongs to: asked only for queues that look for duplicates."""

from __future__ import annotations

from typing import NamedTuple

from pqfs.index import Engine


class Key(NamedTuple):
    """What makes two arrivals of a queue the same. `kind`: content or key; `digest`: its SHA-256, in hex."""

    queue: str
    kind: str
    digest: str


class Keys:
    """The keys of one index. A job that has failed or was cancelled holds none; a deleted one neither."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def holder(self, key: Key) -> str | None:
        """The job that a key belongs to: one that waits, runs, is held or completed."""
        rows = self._engine.run("key_holder", key._asdict())
        return rows[0][0] if rows else None

    def owner(self, key: Key) -> str | None:
        """The job that a key was given to, whatever has become of it since."""
        rows = self._engine.run("key_owner", key._asdict())
        return rows[0][0] if rows else None

    def take(self, key: Key, job: str) -> bool:
        """Give a key to a job that has a row. False: another one holds it. Inside a transaction."""
        return bool(self._engine.run("take_key", {**key._asdict(), "job": job}))
