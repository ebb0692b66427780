"""Which spool lay here at the last start: told beside the logs, which are on a disk of this host.

A mount point whose volume is not mounted looks like a place for a new spool. Whoever started on it would hide the
producers' next files below the volume, and would know of none of the old jobs.
"""

from __future__ import annotations

import json
from pathlib import Path

from pqfs.custody import IDENTITY
from pqfs.errors import Refused
from pqfs.settings import Settings

_FILE = ".spool.json"
_SIGNS = (IDENTITY, "run", "index.db")  # a spool has at least one of them once anything ran on it


def refuse_vanished(settings: Settings) -> None:
    """Refuse to begin a new spool where another one lay at the last start.

    Raises:
        Refused: nothing was made.
    """
    spool, note = settings.spool, settings.logs / _FILE
    if _told(note) == str(spool) and not any((spool / sign).exists() for sign in _SIGNS):
        raise Refused(
            f"The spool that pqfs ran on before is not at {spool}.",
            f"Is its volume mounted? To begin a new spool there, remove {note} first.",
        )


def remember(settings: Settings) -> None:
    """Note where the spool lies. That it can not be noted is no reason not to run."""
    note = settings.logs / _FILE
    if _told(note) != str(settings.spool):
        try:
            note.write_text(json.dumps({"schema": "pqfs.spool/1", "spool": str(settings.spool)}) + "\n")
        except OSError:
            pass


def _told(note: Path) -> str | None:
    try:
        return str(json.loads(note.read_text())["spool"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
