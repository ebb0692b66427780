"""The index on SQLite: one host, many processes, through APSW.

WAL with `synchronous=FULL`: a commit that returned survives loss of power. Every write is BEGIN IMMEDIATE, so
that a transaction never fails half-way for want of the lock; only BEGIN waits, with jitter. APSW brings a
current SQLite: releases before 3.51.3 can corrupt a WAL database that several processes write.

Never open index.db, its -wal or -shm by hand, nor with another SQLite library in the same process: closing
any descriptor of the file drops this process's POSIX locks on it.
"""

from __future__ import annotations

import os
import random
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import apsw

from pqfs import kernel
from pqfs.clock import Clock, SystemClock
from pqfs.errors import (
    NO_ROOM,
    DiskFull,
    IndexBusy,
    IndexDamaged,
    IndexGone,
    Misconfigured,
    PqfsError,
    Refused,
    Unavailable,
)
from pqfs.footing import is_shared
from pqfs.index import Parameters, Row, catalogue
from pqfs.index.schema import Consent, alone, bring_up_to_date, refuse_newer, refuse_older
from pqfs.naming import harmless
from pqfs.settings import LOG_KEPT

_TOKENS = {
    "engine": "sqlite",
    "blob": "BLOB", "real": "REAL", "bigint": "INTEGER", "serial": "INTEGER PRIMARY KEY", "strict": "STRICT",
    "strict_without_rowid": "STRICT, WITHOUT ROWID", "skip_locked": "", "row": "rowid",
    "listed": "SELECT value FROM json_each(:list)",
}  # fmt: skip
_CHECKPOINT = 4000  # pages in the log
_CACHE = 2000  # KiB, SQLite's own default
_BULK_CACHE = 64_000
_STEPS = 10_000  # of SQLite's machine between two questions whether to go on
_WAIT = 30.0  # seconds for the write lock before IndexBusy: far above any transaction of ours
_STEP, _LONGEST_STEP = 0.0002, 0.01  # seconds between two tries, growing: a commit takes milliseconds


class SqliteEngine:
    """One connection. Not for use by two threads at once; each thread opens its own."""

    _connections: ClassVar[weakref.WeakSet[SqliteEngine]] = weakref.WeakSet()

    def __init__(self, path: Path, durable: bool = True, read_only: bool = False, consent: Consent = alone) -> None:
        self.path = path
        _refuse_unsafe(path, any(other.path == path for other in self._connections))
        self._statements = catalogue.statements(_TOKENS)
        self._connection = _open(path, durable, read_only)
        self._synchronous = "full" if durable else "normal"
        self._is_lasting = True
        self._file = _identity(path)
        self._connections.add(self)
        try:
            with _translated(self._connection):
                if not read_only:
                    self._migrate(consent)
                else:
                    self.refuse_other_schema()
        except BaseException:
            self.close()
            raise

    # ---------------------------------------------------------------- engine

    @contextmanager
    def transaction(self, lasting: bool = True) -> Iterator[None]:
        """BEGIN IMMEDIATE … COMMIT, rolled back when the block raises."""
        with _translated(self._connection):
            if _identity(self.path) != self._file:
                raise IndexGone(
                    f"{self.path} was removed or exchanged while it was open.",
                    "Stop pqfs, then make the index again from the spool: pqfs index rebuild",
                )
            self._begin(lasting)
            try:
                yield
                self._commit()
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _begin(self, lasting: bool) -> None:
        """Wait for the write lock.

        Source: under `normal` a commit is written to the log without a flush; the flush of any later one, whoever
        makes it, covers the log up to there (sqlite.org/pragma.html#pragma_synchronous).
        """
        if lasting is not self._is_lasting:
            self._connection.pragma("synchronous", self._synchronous if lasting else "normal")
            self._is_lasting = lasting
        self._connection.execute("BEGIN IMMEDIATE")

    def _commit(self) -> None:
        """The one place where the index changes for good; tests stop a process before it."""
        self._connection.execute("COMMIT")

    def run(self, name: str, parameters: Parameters) -> list[Row]:
        """Run a named statement and return its rows."""
        with _translated(self._connection):
            return list(self._connection.execute(self._statements[name], parameters))

    def run_many(self, name: str, parameters: Iterable[Parameters]) -> list[Row]:
        """Run a named statement for each set of parameters and return all rows."""
        with _translated(self._connection):
            return list(self._connection.executemany(self._statements[name], parameters))

    def checkpoint(self) -> tuple[int, int]:
        """Move the log into the database without making anybody wait."""
        with _translated(self._connection):
            return self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Commits are durable at the end of the block, not before: for what is begun again when it is cut off."""
        self._pragmas(synchronous="off", cache_size=-_BULK_CACHE, wal_autocheckpoint=16 * _CHECKPOINT)
        try:
            yield
        finally:
            self._pragmas(synchronous=self._synchronous, cache_size=-_CACHE, wal_autocheckpoint=_CHECKPOINT)
        with self.transaction():  # something to sync, whatever was checkpointed before
            self._connection.pragma("user_version", self.schema_version())
        with _translated(self._connection):
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_FULL)

    def _pragmas(self, **values: str | int) -> None:
        for name, value in values.items():
            self._connection.pragma(name, value)

    def bytes(self) -> int:
        """How long the file is; 0 when it is gone."""
        return self.path.stat().st_size if self.path.exists() else 0

    def backup(self, target: str) -> None:
        """Copy the database with SQLite's backup API, in steps that let writers through: one file, marked a copy."""
        with _translated(self._connection):
            copy = apsw.Connection(target)
            try:
                with copy.backup("main", self._connection, "main") as backup:
                    while not backup.done:
                        backup.step(1000)
                copy.pragma("journal_mode", "delete")
                copy.execute(self._statements["mark_copy"])
            finally:
                copy.close()

    def schema_version(self) -> int:
        """PRAGMA user_version: the number of the newest migration."""
        with _translated(self._connection):
            return int(self._connection.pragma("user_version"))

    def integrity(self, is_over: Callable[[], bool] = lambda: False) -> list[str]:
        """PRAGMA quick_check, given up when `is_over`; empty when nothing is wrong."""
        self._connection.set_progress_handler(is_over, _STEPS)
        try:
            with _translated(self._connection):
                found = [str(row[0]) for row in self._connection.execute("PRAGMA quick_check(20)")]
        except apsw.InterruptError:
            return []
        except IndexDamaged as error:
            return [error.problem]  # too damaged to be looked through
        finally:
            self._connection.set_progress_handler(None)
        return [] if found == ["ok"] else found

    def leads(self, duty: str, host: str | None) -> bool:
        """Always: on one host a program's name is one process's."""
        return True

    def hold(self, name: str) -> None:
        """Nothing: on one host the kernel tells who lives."""

    def held(self) -> Callable[[str], bool]:
        """Nobody's, as above."""
        return lambda name: False

    def keep(self) -> bool:
        """It is not lost."""
        return False

    def connections(self) -> int:
        """One."""
        return 1

    def remarks(self) -> list[str]:
        """Nothing that is not told elsewhere."""
        return []

    def clock(self) -> Clock:
        """The host's, which is the only one that can use the index."""
        return SystemClock()

    def close(self) -> None:
        """Close the connection; the last one of all processes folds the log into the database."""
        self._connections.discard(self)
        self._connection.close()

    # ---------------------------------------------------------------- schema

    def _migrate(self, consent: Consent) -> None:
        """Apply what is missing, each step in one transaction; refuse a newer schema."""
        self._refuse_stranger()
        bring_up_to_date(self, catalogue.migrations("sqlite", _TOKENS), self._apply, consent)

    def _apply(self, number: int, text: str, found: int) -> None:
        self._connection.execute(text)
        self._connection.pragma("user_version", number)

    def refuse_other_schema(self) -> None:
        """Refuse a schema that is not ours: newer, or older and not to be changed now."""
        found, newest = self.schema_version(), catalogue.migrations("sqlite", _TOKENS)[-1][0]
        refuse_newer(found, newest)
        self._refuse_stranger()
        refuse_older(found, newest)

    def _refuse_stranger(self) -> None:
        """A sound database that is no index of pqfs, put in its place."""
        tables = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if (tables or self.schema_version()) and not {"jobs", "attempts", "counts", "consumers"} <= tables:
            raise IndexDamaged(f"{self.path} is a database, and not an index of pqfs")


class _Patience:
    """Waits for another process's lock in short steps: SQLite's own handler sleeps up to 100 ms at once."""

    def __init__(self) -> None:
        self._deadline = 0.0

    def __call__(self, asked: int) -> bool:
        now = time.monotonic()
        if asked == 0:
            self._deadline = now + _WAIT
        if now > self._deadline:
            return False
        time.sleep(min(_LONGEST_STEP, _STEP * 1.2 ** min(asked, 30)) * random.uniform(0.5, 1.0))
        return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _open(path: Path, durable: bool, read_only: bool) -> apsw.Connection:
    if path.exists() and not path.is_file():
        raise IndexDamaged(f"{path} is not a regular file")
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    if read_only:
        if not path.exists():
            raise Unavailable(f"There is no index at {path}.", "Start pqfs (pqfs up), or: pqfs index rebuild")
        flags = apsw.SQLITE_OPEN_READONLY
    elif not path.exists():
        # Only while nobody has it open: the mode is what -wal and -shm inherit.
        os.close(os.open(path, os.O_CREAT | os.O_CLOEXEC, 0o600))
    with _translated():
        connection = apsw.Connection(str(path), flags=flags, statementcachesize=200)
    with _translated(connection):
        if not read_only and connection.readonly("main"):  # what SQLite does of itself when it may not write
            cause = os.strerror(connection.system_errno) if connection.system_errno else "it may only be read"
            raise Unavailable(f"The index {path} can not be opened for writing: {cause}.")
        connection.set_busy_handler(_Patience())
        if not read_only:
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full" if durable else "normal")
            connection.pragma("journal_size_limit", LOG_KEPT)
            connection.pragma("wal_autocheckpoint", _CHECKPOINT)
        connection.pragma("mmap_size", 0)
        connection.pragma("trusted_schema", False)
        connection.pragma("foreign_keys", True)
    return connection


@contextmanager
def _translated(connection: apsw.Connection | None = None) -> Iterator[None]:
    """Turn the library's errors into ours, in this one place; with the system's own word for the cause."""
    try:
        yield
    except PqfsError:
        raise
    except apsw.Error as error:
        raise _ours(error, connection.system_errno if connection else 0) from error
    except UnicodeEncodeError as error:
        shown = harmless(str(error.object))
        raise Refused(f"The index keeps text in UTF-8, which {shown!r} is not.") from error


def _ours(error: apsw.Error, code: int) -> Exception:
    cause = f"{error}: {os.strerror(code)}" if code else str(error)
    if code in NO_ROOM and isinstance(error, apsw.IOError):  # a quota: SQLite knows only the full disk
        error = apsw.FullError(str(error))
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return IndexBusy("Another process holds the index's write lock.", "See: pqfs doctor")
        case apsw.FullError():
            return DiskFull(f"There is no room left for the index ({cause}).", "Make room on the spool's volume.")
        case apsw.CorruptError() | apsw.NotADBError():
            return IndexDamaged(str(error))
        case apsw.CantOpenError():
            return Unavailable(f"The index can not be opened ({cause}).")
        case apsw.ReadOnlyError():
            return Unavailable(f"The index can not be written by this user ({cause}).")
        case apsw.IOError() | apsw.ProtocolError() | apsw.NoMemError():
            return Unavailable(f"The index's disk reports an error ({cause}).", "Look at the kernel's log.")
    return error


def is_affected(version: tuple[int, ...]) -> bool:
    """Whether a SQLite release has the WAL-reset bug: before 3.51.3, but for 3.50.7 and 3.44.6 and their heirs."""
    if version >= (3, 51, 3):
        return False
    return not (
        (version[:2] == (3, 50) and version >= (3, 50, 7)) or (version[:2] == (3, 44) and version >= (3, 44, 6))
    )


def library_version() -> tuple[int, ...]:
    """The SQLite release that APSW brought."""
    return tuple(int(part) for part in apsw.sqlite_lib_version().split("."))


def _refuse_unsafe(path: Path, opened_by_us: bool) -> None:
    if is_affected(library_version()):
        raise Misconfigured(
            f"SQLite {apsw.sqlite_lib_version()} can corrupt a database that several processes write.",
            "Install apsw 3.51.3 or later.",
        )
    refuse_network(path.parent)
    if "_sqlite3" in sys.modules and not opened_by_us and _is_open_here(path):
        raise Misconfigured(
            f"{path} is open through Python's own sqlite3 in this process.",
            "Close it first: two SQLite libraries drop each other's locks.",
        )


def refuse_network(folder: Path) -> None:
    """Refuse a folder, which need not be there yet, in which no index can work.

    Raises:
        Misconfigured: it is on a network file system.
    """
    kind = kernel.file_system(os.fsencode(folder))
    if is_shared(kind):
        raise Misconfigured(
            f"{folder} is on a network file system ({kind}), where SQLite's log does not work.",
            'Name a file on a disk of this host for it: index = "sqlite:////var/lib/pqfs/index.db" in pqfs.toml.',
        )


def _is_open_here(path: Path) -> bool:
    wanted = str(path)
    try:
        return any(os.readlink(entry) == wanted for entry in Path("/proc/self/fd").iterdir())
    except OSError:
        return False


def settings_of(engine: SqliteEngine) -> Mapping[str, object]:
    """What `pqfs doctor` shows of a connection."""
    return {
        "library": apsw.sqlite_lib_version(),
        "schema": engine.schema_version(),
        "bytes": engine.path.stat().st_size,
        "log_bytes": log.stat().st_size if (log := engine.path.with_name(f"{engine.path.name}-wal")).exists() else 0,
    }
