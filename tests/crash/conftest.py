"""A fresh world for each crash point costs three milliseconds: an empty spool and index, made once, is copied."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pqfs.index.sqlite import SqliteEngine
from pqfs.settings import Settings
from pqfs.spool import Spool
from tests.crash.harness import World

NewWorld = Callable[..., World]


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty spool with an empty index, closed."""
    root = tmp_path_factory.mktemp("blank") / "spool"
    Spool.create(root)
    SqliteEngine(root / "index.db", durable=False).close()
    return root


@pytest.fixture
def new_world(blank: Path, tmp_path: Path) -> Iterator[NewWorld]:
    """Makes worlds: `new_world()`, `new_world(settings)`; closed and removed when the test is over."""
    numbers = itertools.count()

    def make(settings: Settings | None = None) -> World:
        root = tmp_path / f"{next(numbers)}" / "spool"
        shutil.copytree(blank, root)
        return World(root, settings or Settings())

    yield make
    shutil.rmtree(tmp_path, ignore_errors=True)
