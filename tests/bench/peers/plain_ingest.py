"""The plain loop that ingestion is held against: the same questions to every file, the same moves, one process.

No sidecars, quotas, ghosts, recovery or health: list, ask, rename; a sync and a transaction for each batch. Ends when
it has taken BENCH_FILES files.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence

import apsw

from pqfs.kernel import is_open_for_writing, syncfs
from pqfs.naming import JobIds

_BATCH = 256
_TABLE = "CREATE TABLE jobs (id TEXT PRIMARY KEY, queue TEXT, name BLOB, size INTEGER, created_at REAL) STRICT"


def is_complete(path: str) -> int | None:
    """The size of a regular file that nobody writes; None for anything else."""
    probe = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(probe).st_mode):
            return None
        descriptor = os.open(f"/proc/self/fd/{probe}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return None if is_open_for_writing(descriptor) else os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
    finally:
        os.close(probe)


def take(base: str, names: Sequence[str], ids: JobIds) -> Iterator[tuple[str, str, bytes, int, float]]:
    """Move what is complete out of the inbox; a row for each."""
    for name in names:
        size = is_complete(f"{base}/inbox/{name}")
        if size is None:
            continue
        now = time.time()
        job = ids.next(now)
        os.rename(f"{base}/inbox/{name}", f"{base}/ready/{job}.default.{name}")
        yield job, "default", name.encode(), size, now


def connect(path: str) -> apsw.Connection:
    """A database that is as durable as ours."""
    database = apsw.Connection(path)
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", _TABLE):
        database.execute(statement)
    return database


def main() -> None:
    base, left, ids = os.environ["BENCH_BASE"], int(os.environ["BENCH_FILES"]), JobIds()
    os.mkdir(f"{base}/ready")
    database, disk = connect(f"{base}/index.db"), os.open(base, os.O_RDONLY)
    os.mkdir(f"{base}/is ready")
    while left:
        names = sorted(os.listdir(f"{base}/inbox"))
        for first in range(0, len(names), _BATCH):
            rows = list(take(base, names[first : first + _BATCH], ids))
            syncfs(disk)
            with database:
                database.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?, ?)", rows)
            left -= len(rows)
        if not names:
            time.sleep(0.001)


if __name__ == "__main__":
    main()
