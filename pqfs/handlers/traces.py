"""What is told of an attempt beside its result: which handler ran it, in which version, and what it used.

For commands and functions only: the built-in handler is as old as pqfs itself, and its jobs are many and small.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pqfs.clock import iso

_DIGITS = 12  # of a hash that tells two versions apart


@dataclass
class Traces:
    """What a program leaves behind: its path as it was found, and the most memory of one of its processes (bytes)."""

    program: str | None = None
    peak_bytes: int | None = None


class Meter:
    """Counts processor time from its making on; of this process, too, where the handler is a function in it."""

    def __init__(self, specification: Mapping[str, Any]) -> None:
        self._who = [resource.RUSAGE_CHILDREN]
        if specification["kind"] != "command":
            self._who.append(resource.RUSAGE_SELF)
        self._before = self._spent()

    def _spent(self) -> tuple[float, float]:
        found = [resource.getrusage(who) for who in self._who]
        return sum(each.ru_utime for each in found), sum(each.ru_stime for each in found)

    def used(self, traces: Traces) -> dict[str, Any]:
        """Since then: seconds of processor time, and what the program has left."""
        user, system = (now - before for now, before in zip(self._spent(), self._before, strict=True))
        return {
            "user_seconds": round(user, 6), "system_seconds": round(system, 6), "peak_bytes": traces.peak_bytes,
        }  # fmt: skip


def describe(specification: Mapping[str, Any], traces: Traces) -> str:
    """A handler and its version, as one line of JSON.

    A function's is told by the file of its module as it is now: ask when it has just been loaded.
    """
    if specification["kind"] == "command":
        return _told(kind="command", command=list(specification["command"]), **_of_file(traces.program))
    module = sys.modules.get(str(specification["python"]).partition(":")[0])
    file = getattr(module, "__file__", None)
    return _told(kind="python", function=specification["python"], file=file, sha256=_digest(file))


def _of_file(path: str | None) -> dict[str, Any]:
    if path is None:
        return {"program": None}
    try:
        found = os.stat(path)
    except OSError:
        return {"program": path}
    return {"program": path, "size": found.st_size, "changed_at": iso(found.st_mtime)}


def _digest(path: str | None) -> str | None:
    try:
        with open(path or "", "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()[:_DIGITS]
    except OSError:
        return None


def _told(**facts: Any) -> str:
    return json.dumps(facts, sort_keys=True)
