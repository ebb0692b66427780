"""The ends of log files, and what is added to them, across supervisor's rotation."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pqfs.errors import Refused

_CHUNK = 64 * 1024
_LOOK_EVERY = 0.3


def log_files(logs: Path, programs: Sequence[str]) -> list[Path]:
    """The logs of these programs (`consumer` stands for all consumers), of all when none is named.

    Raises:
        Refused: a program has no log here, or this user may not look.
    """
    present = _present(logs)
    if not programs:
        return present
    wanted = [[path for path in present if _is_of(path.stem, name)] for name in programs]
    for name, found in zip(programs, wanted, strict=True):
        if not found:
            known = ", ".join(path.stem for path in present) or "none yet"
            raise Refused(f"There is no log of {name!r} in {logs}.", f"There are: {known}")
    return sorted({path for found in wanted for path in found})


def _present(logs: Path) -> list[Path]:
    try:
        return sorted(logs / name for name in os.listdir(logs) if name.endswith(".log"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        raise Refused(f"This user may not enter {logs}.", "Ask as the user that runs pqfs.") from error


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except PermissionError as error:
        raise Refused(f"This user may not read {path}.", "Ask as the user that runs pqfs.") from error


def _is_of(stem: str, name: str) -> bool:
    return stem == name or (stem.startswith(f"{name}-") and stem.removeprefix(f"{name}-").isdigit())


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines of a log."""
    data = b""
    with _opened(path) as file:
        start = end = file.seek(0, os.SEEK_END)
        while start > 0 and data.count(b"\n") <= count:
            start = max(0, start - max(_CHUNK, end - start))  # twice as much each time
            file.seek(start)
            data = file.read(end - start)
    lines = data.decode(errors="replace").splitlines()
    return lines[-count:] if count else []


def follow(logs: Path, programs: Sequence[str]) -> Generator[tuple[str, str], None, None]:
    """Program and line of what is written from this call on, for ever. A rotated file is read to its end first."""
    tails = {path: _Tail(path, from_end=True) for path in log_files(logs, programs)}
    return _follow(tails, logs, programs)


def _follow(tails: dict[Path, _Tail], logs: Path, programs: Sequence[str]) -> Generator[tuple[str, str], None, None]:
    try:
        while True:
            tails |= {path: _Tail(path, False) for path in log_files(logs, programs) if path not in tails}
            for path, tail in tails.items():
                yield from ((path.stem, line) for line in tail.lines())
            time.sleep(_LOOK_EVERY)
    finally:
        for tail in tails.values():
            tail.close()


class _Tail:
    """One log that is being read while it grows."""

    def __init__(self, path: Path, from_end: bool) -> None:
        self._path = path
        self._file = _opened(path)
        self._rest = b""
        if from_end:
            self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Stop reading."""
        self._file.close()

    def lines(self) -> Iterator[str]:
        """Complete lines that were added since."""
        yield from self._read()
        if self._is_rotated():
            yield from self._read()
            self._file.close()
            self._file = _opened(self._path)
            yield from self._read()

    def _read(self) -> list[str]:
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _is_rotated(self) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False  # between supervisor's two renames
