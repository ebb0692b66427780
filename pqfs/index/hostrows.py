"""The rows of the hosts that share one index."""

from __future__ import annotations

from dataclasses import dataclass

from pqfs.index import Engine


@dataclass(frozen=True, slots=True)
class Host:
    """A host's row. `beat_at` is told by the index's clock, `lease` in seconds."""

    name: str
    boot_id: str
    beat_at: float
    lease: float

    def is_silent(self, now: float) -> bool:
        """Whether its lease is over: its processes are gone, cut off or stopped."""
        return now - self.beat_at > self.lease


SINCE = 9  # the migration that makes their table


class HostRows:
    """The hosts of one index. `beat` must run inside a transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def beat(self, host: Host) -> bool:
        """Note that a host lives. False: another machine, or an earlier start of it, has its name and a lease."""
        row = {"name": host.name, "boot_id": host.boot_id, "now": host.beat_at, "lease": host.lease}
        return bool(self._engine.run("beat_host", row))

    def all(self) -> list[Host]:
        """Every host that was ever heard of."""
        return [Host(*row) for row in self._engine.run("hosts", {})]
