"""The protocols, stopped before each of their effects, with the index on PostgreSQL: a few of them, always the same.

All of them: `PQFS_TEST_EVERY=1 pytest -m slow tests/crash/test_postgres.py`.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.index import Engine
from pqfs.settings import Settings
from tests.crash.harness import Fuse, World
from tests.crash.protocols import PROTOCOLS, Protocol
from tests.crash.test_effects import check, drop, each, stop
from tests.index.conftest import emptied

if TYPE_CHECKING:
    from pqfs.index.session import Session
    from tests.server import Server

pytestmark = pytest.mark.slow
# Those that lose their index remove a file, which there is none of here.
_OURS = [protocol for protocol in PROTOCOLS if "lose_index" not in protocol.arrange.__code__.co_names]
CHOSEN = _OURS[:: int(os.environ.get("PQFS_TEST_EVERY", "8"))]


@pytest.fixture(scope="module")
def connect(server: Server) -> Iterator[Callable[[Path, Fuse], Engine]]:
    """Opens the one database of these tests, for one world at a time."""
    from pqfs.index.postgres import PostgresEngine

    class Crashing(PostgresEngine):
        """Its commits are effects, in the sequence of all others."""

        def __init__(self, fuse: Fuse) -> None:
            self._fuse = fuse
            super().__init__(server.address("crash"), durable=False)

        @property
        def _connection(self) -> Session:
            """What tells whether a transaction is under way."""
            return self._session

        def _commit(self) -> None:
            self._fuse.effect("C")
            super()._commit()

    server.run("CREATE DATABASE crash")
    Crashing(Fuse()).close()
    yield lambda path, fuse: Crashing(fuse)


@pytest.fixture
def new_world(blank: Path, tmp_path: Path, connect: Callable[[Path, Fuse], Engine]) -> Iterator[Callable[..., World]]:
    """Makes worlds, one after the other."""
    numbers = itertools.count()

    broom = connect(tmp_path, Fuse())

    def make(settings: Settings | None = None) -> World:
        root = tmp_path / f"{next(numbers)}" / "spool"
        shutil.copytree(blank, root)
        (root / "index.db").unlink()
        emptied(broom)
        return World(root, settings or Settings(), connect=connect)

    yield make
    broom.close()


@pytest.mark.parametrize("protocol", CHOSEN, ids=each)
def test_a_crash_before_any_effect_loses_nothing_and_doubles_nothing(
    protocol: Protocol, new_world: Callable[..., World]
) -> None:
    for n in itertools.count(1):
        stopped = stop(new_world, protocol, n)
        try:
            check(stopped)
        except BaseException as error:
            error.add_note(f"{protocol.name}: stopped before effect {n} ({stopped.last})")
            raise
        drop(stopped.world)
        if stopped.acknowledged:
            return
