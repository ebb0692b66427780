"""Each test of the index runs on both engines, but for what is about one of them.

On PostgreSQL all of them share one database and one connection; what is in it is emptied before each. Making either
takes longer than most tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pqfs.index import Engine, Index
from pqfs.index.sqlite import SqliteEngine
from pqfs.spool import Spool
from tests.databases import emptied

Connect = Callable[[], Engine]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> str:
    """Where the index of this test is: a path, or an address."""
    if request.param == "sqlite":
        spool: Spool = request.getfixturevalue("spool")
        return str(spool.root / "index.db")
    emptied(request.getfixturevalue("contract"))
    address: str = request.getfixturevalue("server").address("contract")
    return address


@pytest.fixture
def connect(place: str) -> Connect:
    """Opens the database of this test once more."""
    if "://" not in place:
        return lambda: SqliteEngine(Path(place))
    from pqfs.index.postgres import PostgresEngine

    return lambda: PostgresEngine(place)


@pytest.fixture
def index(request: pytest.FixtureRequest, place: str, connect: Connect) -> Iterator[Index]:
    """An index, migrated, with the default queue."""
    if "://" in place:
        yield Index(request.getfixturevalue("contract"))
        return
    opened = Index(connect())
    yield opened
    opened.close()


@pytest.fixture
def second_index(index: Index, connect: Connect) -> Iterator[Callable[[], Index]]:
    """More connections to the same index, as other processes have them."""
    opened: list[Index] = []

    def more() -> Index:
        opened.append(Index(connect()))
        return opened[-1]

    yield more
    for each in opened:
        each.close()
