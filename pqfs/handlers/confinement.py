"""Where a program is confined to: what it may read and write, whether it may use the network.

Two ways. Landlock is asked of the kernel by the exec helper and needs no privilege: writing only into the attempt's
own folder and what `write` names, reading only below `read` and never in the spool, no TCP, no signals to processes
outside. bubblewrap does the same with namespaces, in which nothing else can even be seen, no process and no socket.

A confined attempt writes into one folder of its own: `output`, `files/` (its working directory) and `tmp/` (TMPDIR).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pqfs.handlers.launch import landlock_version

_BUBBLEWRAP = "bwrap"


def is_confined(specification: Mapping[str, Any]) -> bool:
    """Whether a handler's attempts are confined to a folder of their own."""
    return bool(specification.get("confine", "none") != "none")


@dataclass(frozen=True, slots=True)
class Confinement:
    """The walls around a program. `hide` is the spool."""

    how: str
    read: Sequence[str]
    write: Sequence[str]
    network: bool
    hide: str

    @classmethod
    def of(cls, specification: Mapping[str, Any]) -> Self | None:
        """What a handler's specification asks for; None when nothing confines it."""
        if not is_confined(specification):
            return None
        return cls(
            specification["confine"], specification.get("read", ()), specification.get("write", ()),
            bool(specification.get("network", False)), os.path.realpath(specification["spool"]),
        )  # fmt: skip

    def words(self, folder: Path, payload: Path) -> list[str]:
        """What the exec helper is told: `folder` may be written, `payload` be read."""
        if self.how != "landlock":
            return []
        return [
            f"hide={self.hide}",
            *(f"read={os.path.realpath(path)}" for path in [*self.read, str(payload)]),
            *(f"write={os.path.realpath(path)}" for path in [*self.write, str(folder)]),
            f"network={'yes' if self.network else 'no'}",
        ]

    def prefix(self, folder: Path, payload: Path) -> list[str]:
        """What is put before the command."""
        if self.how != "bubblewrap":
            return []
        shown = [("--ro-bind-try", path) for path in self.read]
        own = [("--bind-try", path) for path in self.write]
        mine = [("--bind", str(folder)), ("--ro-bind", str(payload))]
        network = ["--share-net"] if self.network else []
        return [
            shutil.which(_BUBBLEWRAP) or _BUBBLEWRAP, "--unshare-all", *network, "--die-with-parent",
            *_twice(shown), "--dev", "/dev", "--proc", "/proc", "--tmpfs", self.hide, *_twice(own), *_twice(mine),
            "--remount-ro", self.hide, "--chdir", str(folder / "files"), "--",
        ]  # fmt: skip


def _twice(binds: Sequence[tuple[str, str]]) -> list[str]:
    """Each path under its own name."""
    return [word for option, path in binds for word in (option, path, path)]


def trouble(how: str) -> str | None:
    """Why this machine can not confine a program so, in a sentence; None when it can."""
    match how:
        case "landlock" if not landlock_version():
            return 'This kernel has no Landlock: set confine = "bubblewrap" or "none".'
        case "bubblewrap" if shutil.which(_BUBBLEWRAP) is None:
            return 'bubblewrap (bwrap) is not installed: install it, or set confine = "landlock" or "none".'
        case "bubblewrap" if said := _refusal():
            return f'bubblewrap does not work here ({said}): set confine = "landlock" or "none".'
    return None


def _refusal() -> str:
    """What bubblewrap says when it can not make its namespaces; empty when it can."""
    command = [_BUBBLEWRAP, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--", "/bin/true"]
    tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else tried.stderr.strip().partition("\n")[0] or f"exit code {tried.returncode}"
