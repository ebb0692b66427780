"""What was sent, killed, asked and seen, written down outside the spool while it happens.

One file for each writer, one JSON object a line, appended by one write: a writer that is killed leaves whole lines
but for the last, and a last line that is torn is left out. Nothing is synced: who loses power loses the storm.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class Book:
    """One writer's file, open for appending."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def write(self, **line: Any) -> None:
        """Append one line."""
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read(path: Path) -> Iterator[Line]:
    """The whole lines of a book, in order; none when it was never begun."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for text in data.split(b"\n"):
        try:
            line = json.loads(text)
        except ValueError:
            continue  # torn: its writer was killed
        if isinstance(line, dict):
            yield line


def read_all(folder: Path, what: str) -> list[Line]:
    """The lines of every book of one kind (`sent`, `acts` …)."""
    return [line for path in sorted(folder.glob(f"{what}*.jsonl")) for line in read(path)]
