"""Where the indexes of tests lie: in a file of each spool, or in one database on PostgreSQL that all of them share.

`PQFS_TEST_INDEX=postgres pytest …` runs what asks for an index, for verbs over it or for a world on PostgreSQL. There
the one database is emptied before each test: to make one takes longer than most tests.

There a try takes three times as long as on SQLite. So of the enumerations and histories that take minutes a run tries
a share, and `PQFS_TEST_TURN`, any hexadecimal number (in CI the commit), says which one: all have their turn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ON_POSTGRES = os.environ.get("PQFS_TEST_INDEX") == "postgres"
TURN = int(os.environ.get("PQFS_TEST_TURN", "0"), 16)
SHARES = 12 if ON_POSTGRES else 1
_TABLES = """
SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'pqfs_schema' ORDER BY 1
"""
_EMPTY = """
SET session_replication_role = replica;
{emptied};
INSERT INTO queues (name, created_at) VALUES ('default', 0);
UPDATE chain SET anchor = 0, anchor_at = 0, anchor_hash = '', head = 0, head_hash = '';
SET session_replication_role = origin
"""


@contextmanager
def server_if_asked() -> Iterator[str | None]:
    """The address of a database on a server of its own, where PostgreSQL is asked for; else None. For programs."""
    if not ON_POSTGRES:
        yield None
        return
    from tests.server import Server

    with Server.started() as server:
        yield server.address()


def behind(engine: Any, sql: str) -> None:
    """Run a statement behind the back of pqfs, on the connection of an index."""
    (engine._session.run if ON_POSTGRES else engine._connection.execute)(sql)


def tables(engine: Any) -> list[str]:
    """The tables of an index on PostgreSQL whose rows are its contents."""
    return [row[0] for row in engine._session.run(_TABLES)]


def emptied(engine: Any) -> None:
    """Take everything out of a database, as if it had just been made."""
    full = [name for name in tables(engine) if name != "chain"]
    engine._session.run(_EMPTY.format(emptied="; ".join(f"DELETE FROM {name}" for name in full)))  # noqa: S608 -- ours
    engine._heads.heed("insert_job", [])  # what it remembers of them
