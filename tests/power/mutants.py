"""What the rig must be able to see: pqfs with one of its precautions taken out, here and never in pqfs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from unittest.mock import patch

from pqfs.errors import VolumeFault
from pqfs.index.sqlite import SqliteEngine
from pqfs.spool import Spool


class Mutant(StrEnum):
    """A precaution that is left out."""

    NO_INGEST_BARRIER = "no-ingest-barrier"
    NO_OUTPUT_BARRIER = "no-output-barrier"
    SYNCHRONOUS_NORMAL = "synchronous-normal"
    DESTINATION_ONLY = "destination-only"
    DESTINATION_FIRST = "destination-first"
    SYNC_AGAIN = "sync-again"
    ADOPT_IN_PLACE = "adopt-in-place"


HARMLESS = frozenset({Mutant.DESTINATION_FIRST})
"""Must lose nothing: the fsync of a payload after its rename takes both names with it, on each of the three."""


_barrier = Spool.barrier
_open = SqliteEngine.__init__


def _is_ingest(files: Sequence[str]) -> bool:
    return any(path.startswith("ready/") for path in files)


def _no_ingest_barrier(spool: Spool, files: Sequence[str], directories: Sequence[str | int] | None) -> None:
    if not _is_ingest(files):
        _barrier(spool, files, directories)


def _no_output_barrier(spool: Spool, files: Sequence[str], directories: Sequence[str | int] | None) -> None:
    if _is_ingest(files):
        _barrier(spool, files, directories)


def _destination_only(spool: Spool, files: Sequence[str], directories: Sequence[str | int] | None) -> None:
    """Neither the files nor where they came from."""
    if _is_ingest(files):
        spool._sync([], list(directories or ())[1:])
    else:
        _barrier(spool, files, directories)


def _destination_first(spool: Spool, files: Sequence[str], directories: Sequence[str | int] | None) -> None:
    """Files and directories the wrong way round: first where the files arrive, then where they came from."""
    if _is_ingest(files):
        spool._sync(files, list(reversed(directories or ())))
    else:
        _barrier(spool, files, directories)


def _sync_again(spool: Spool, files: Sequence[str], directories: Sequence[str | int] | None) -> None:
    """What fails once is tried once more, and the second sync says that all is well."""
    try:
        _barrier(spool, files, directories)
    except VolumeFault:
        spool.alarm.unlink()
        _barrier(spool, files, directories)


def _in_place(spool: Spool, relative: str, left: Sequence[str] = ()) -> None:
    """Adopted as it lies, although a sync has failed."""


def _synchronous_normal(engine: SqliteEngine, path: object, durable: bool = True, read_only: bool = False) -> None:
    _open(engine, path, False, read_only)  # type: ignore[arg-type]


_BARRIERS: dict[Mutant, Callable[..., None]] = {
    Mutant.NO_INGEST_BARRIER: _no_ingest_barrier,
    Mutant.NO_OUTPUT_BARRIER: _no_output_barrier,
    Mutant.DESTINATION_ONLY: _destination_only,
    Mutant.DESTINATION_FIRST: _destination_first,
    Mutant.SYNC_AGAIN: _sync_again,
}


@contextmanager
def mutated(mutant: Mutant | None) -> Iterator[None]:
    """pqfs without one precaution, for the length of a block."""
    if mutant is None:
        yield
    elif mutant is Mutant.SYNCHRONOUS_NORMAL:
        with patch.object(SqliteEngine, "__init__", _synchronous_normal):
            yield
    elif mutant is Mutant.ADOPT_IN_PLACE:
        with patch.object(Spool, "copy_anew", _in_place):
            yield
    else:
        with patch.object(Spool, "barrier", _BARRIERS[mutant]):
            yield
