"""The machinery: processes, pulses, disk, index, versions."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pqfs
from pqfs.clock import SystemClock
from pqfs.errors import NotRunning
from pqfs.footing import footing
from pqfs.hosts import leader
from pqfs.index.sqlite import library_version
from pqfs.pulse import Beat, read_beats
from pqfs.settings import Loaded
from pqfs.stack.presence import Row, processes
from pqfs.stack.supervisor import Supervisor
from pqfs.wiring import App
from ui.store.door import Answer, ask, look_at

__all__ = ["Machine", "Pulse", "Row"]

_LIBRARIES = ("apsw", "watchdog", "pydantic", "streamlit", "supervisor", "typer")


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a program said of itself when it last did its work, and how many seconds ago that was."""

    beat: Beat
    ago: float

    def since(self, instant: float) -> float:
        """Seconds since an instant (boot time) that the program told of."""
        return self.ago + self.beat.at - instant


@dataclass(frozen=True, slots=True)
class Machine:
    """What the spool stands on. Sizes in bytes; `inodes` None: the file system does not count them."""

    file_system: str
    total: int
    free: int
    inodes: int | None
    low_water: int
    index: int
    log: int
    schema: int
    identity: str
    durability: str
    leader: str | None  # the host whose janitor leads, where several share the index
    versions: tuple[tuple[str, str], ...]


def running() -> Answer[list[Row]]:
    """Every process of this spool, as `pqfs ps` shows it; none when nothing runs."""
    return look_at(_running)


def _running(loaded: Loaded) -> list[Row]:
    run = loaded.settings.spool / "run"
    try:
        return processes(run, Supervisor(run / "supervisor.sock"), SystemClock())
    except (NotRunning, FileNotFoundError):
        return []


def pulses() -> Answer[list[Pulse]]:
    """When each program last did its work."""
    return look_at(_pulses)


def _pulses(loaded: Loaded) -> list[Pulse]:
    now = SystemClock().now()
    return [Pulse(beat, max(0.0, now - beat.wall)) for beat in read_beats(loaded.settings.spool / "run")]


def machine() -> Answer[Machine]:
    """The volume, the index, the versions."""
    return ask(_machine, "machine", 2.0)


def _machine(app: App) -> Machine:
    volume, identity = os.statvfs(app.spool.root), app.index.identity()
    return Machine(
        file_system=footing(app.spool.path("inbox"), app.settings.ingest).told(app.settings.ingest),
        total=volume.f_blocks * volume.f_frsize, free=app.spool.free_bytes(),
        inodes=volume.f_favail if volume.f_files else None, low_water=int(app.settings.low_water),
        index=_size(app.settings.index_file), log=_size(app.settings.index_log),
        schema=app.index.engine.schema_version(),
        identity=f"{identity[0]}, era {identity[1]}" if identity else "none yet",
        durability=app.settings.durability, leader=leader(app.settings, app.index), versions=tuple(_versions()),
    )  # fmt: skip


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _versions() -> list[tuple[str, str]]:
    found = [("pqfs", pqfs.__version__), ("Python", platform.python_version())]
    found += [("SQLite", ".".join(map(str, library_version()))), ("Linux", platform.release())]
    for name in _LIBRARIES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
