"""Where universes are played: a directory in memory, and an index in memory or on a server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.engine import SimulatedEngine, SimulatedIndex
from tests.simulation.gate import Gate

_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Ground:
    """For one universe at a time."""

    root: Path
    index: SimulatedIndex


@contextmanager
def ground(address: str | None = None) -> Iterator[Ground]:
    """A new one. `address`: of a database on PostgreSQL, in which the index gets a schema of this process's own."""
    with scratch() as root:
        index = _opened(root, address)
        try:
            yield Ground(root, index)
        finally:
            index.end()


def _opened(root: Path, address: str | None) -> SimulatedIndex:
    if address is None:
        return SimulatedEngine(root / "index.db", Gate())
    from tests.simulation.served import SimulatedServer  # psycopg need not be there

    return SimulatedServer(address)


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory where there is one."""
    with tempfile.TemporaryDirectory(prefix="pqfs-sim-", dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        yield Path(name)
