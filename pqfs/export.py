"""Copies dead letters out of the spool: each payload as a file, and a line of JSON that tells what became of it.

    <folder>/<job>.<queue>.<name>      the payload, named as in dead/
    <folder>/dead-letters.jsonl        a line each, appended once the payload is there

Nothing is ever overwritten. An export that was interrupted is begun again: what is told and there is passed over. The
copies are durable when `close` returns.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pqfs import kernel, naming
from pqfs.clock import iso
from pqfs.errors import Refused
from pqfs.model import Job, Place
from pqfs.report import Source, job_item, to_json

LINES = "dead-letters.jsonl"
_SCHEMA = "pqfs.dead-letter/1"
_BLOCK = 1 << 20


class Export:
    """One folder that dead letters are copied into. Close it when done."""

    def __init__(self, source: Source, folder: Path) -> None:
        self._source = source
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Refused(f"The folder {folder} can not be used: {error.strerror}.") from error
        self._known = self._told()
        self._lines = (folder / LINES).open("ab")

    def close(self) -> None:
        """Make durable what was copied."""
        self._lines.flush()
        os.fsync(self._lines.fileno())
        self._lines.close()
        os.fsync(self._directory)
        os.close(self._directory)

    def add(self, job: Job) -> bool:
        """Copy one; False when it is there already, from an earlier run.

        Raises:
            Refused: its input is no longer kept, or another file has its name in the folder.
        """
        name = os.path.basename(self._source.spool.payload_path(job, Place.DEAD))
        if job.id in self._known and self._size(name) == self._known[job.id]:
            return False
        size, digest = self._copy(job, name)
        self._lines.write(json.dumps(self._line(job, name, digest)).encode() + b"\n")
        self._lines.flush()
        self._known[job.id] = size
        return True

    def _size(self, name: str) -> int | None:
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return None

    def _told(self) -> dict[str, int]:
        """The sizes of what an earlier run has told of; a line that it did not finish is taken back.

        Raises:
            Refused: the file is none of ours.
        """
        path = self._folder / LINES
        if not path.exists():
            return {}
        known: dict[str, int] = {}
        with path.open("r+b") as lines:
            for line in iter(lines.readline, b""):
                if not line.endswith(b"\n"):
                    lines.truncate(lines.tell() - len(line))
                    break
                told = _read(line)
                if told is None:
                    raise Refused(f"{path} is not of an export of dead letters.", "Take another folder.")
                known[told["id"]] = told["size"]
        return known

    def _copy(self, job: Job, name: str) -> tuple[int, str]:
        part = self._folder / f".{job.id}.part"
        part.unlink(missing_ok=True)  # of a run that was interrupted
        try:
            size, digest = self._copy_to(
                part, self._source.spool.path(self._source.spool.payload_path(job, Place.DEAD))
            )
            try:
                kernel.rename_noreplace(self._directory, os.fsencode(part.name), self._directory, os.fsencode(name))
            except FileExistsError:
                if _digest(self._folder / name) != digest:
                    raise Refused(f"{self._folder / name} is there already, and is another file.") from None
        finally:
            part.unlink(missing_ok=True)
        return size, digest

    def _copy_to(self, part: Path, payload: Path) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        try:
            source = payload.open("rb")
        except FileNotFoundError as error:
            raise Refused("Its input is no longer kept, or on the move.") from error
        with source, part.open("xb") as copy:
            for block in _blocks(source):
                digest.update(block)
                size += copy.write(block)
            copy.flush()
            os.fsync(copy.fileno())
        return size, digest.hexdigest()

    def _line(self, job: Job, name: str, digest: str) -> dict[str, Any]:
        attempts = to_json(self._source.index.attempts(job.id))
        item = {**job_item(job), "original": naming.printable(job.name), "died_at": iso(job.updated_at)}
        told = {"file": name, "sha256": digest, "group": job.fingerprint, "options": job.options}
        return {"schema": _SCHEMA, **item, **told, "attempts": attempts}


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(line)
        return told if told["schema"] == _SCHEMA and told["id"] and told["size"] >= 0 else None
    except (ValueError, KeyError, TypeError):
        return None


def _blocks(file: Any) -> Iterator[bytes]:
    return iter(lambda: file.read(_BLOCK), b"")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in _blocks(file):
            digest.update(block)
    return digest.hexdigest()
