"""Copies the index while it is in use: consistent, whole or not at all, for its owner's eyes only."""

from __future__ import annotations

import os
from pathlib import Path

from pqfs.errors import Refused
from pqfs.index import Index


def back_up(index: Index, file: Path) -> None:
    """Copy the index to this path, by way of a hidden name beside it.

    Raises:
        Refused: something is there already, or its folder is not.
    """
    if file.exists():
        raise Refused(f"{file} is there already.", "A backup never overwrites.")
    if not file.parent.is_dir():
        raise Refused(f"There is no folder {file.parent}.")
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # before there is anything to read
        index.engine.backup(str(part))
        os.rename(part, file)
    finally:
        part.unlink(missing_ok=True)
