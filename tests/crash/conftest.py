"""A fresh world for each crash point costs three milliseconds: an empty spool and index, made once, is copied."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.index.sqlite import SqliteEngine
from pqfs.settings import Settings
from pqfs.spool import Spool
from tests.crash.harness import World
from tests.databases import ON_POSTGRES
from tests.simulation.ground import scratch

if TYPE_CHECKING:
    from tests.crash.served import Database
    from tests.server import Server

NewWorld = Callable[..., World]


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty spool with an empty index, closed."""
    root = tmp_path_factory.mktemp("blank") / "spool"
    Spool.create(root)
    SqliteEngine(root / "index.db", durable=False).close()
    return root


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest) -> Iterator[Database | None]:
    """Where the index of every world is; None where each has its own."""
    if not ON_POSTGRES:
        yield None
        return
    from tests.crash.served import Database

    server: Server = request.getfixturevalue("server")
    server.run("CREATE DATABASE crash")
    with closing(Database(server.address("crash"))) as found:
        yield found


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: nobody cuts the power here, and a disk takes longer to forget a world than to have it."""
    with scratch() as root:
        yield root


@pytest.fixture
def new_world(blank: Path, tmp_path: Path, database: Database | None) -> NewWorld:
    """Makes worlds: `new_world()`, `new_world(settings)`; removed when the test is over."""
    numbers = itertools.count()

    def make(settings: Settings | None = None) -> World:
        root = tmp_path / f"{next(numbers)}" / "spool"
        shutil.copytree(blank, root)
        if database is None:
            return World(root, settings or Settings())
        database.begin(root)
        return World(root, settings or Settings(), home=database)

    return make
