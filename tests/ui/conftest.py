"""A spool that the console is pointed at: real, with nobody at work on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit import config

from pqfs.index import Settlement
from pqfs.model import Arrival, Job, State
from pqfs.naming import JobIds
from pqfs.retry import Budget
from pqfs.settings import load
from pqfs.spool import Spool
from pqfs.wiring import App, open_app
from tests.ui.browsing import browser, page, scheme, stack
from tests.world import submitted
from ui.store import door, overview, sessions, tree, undertakings
from ui.store.once import Once

__all__ = ["browser", "page", "scheme", "stack"]

Fill = Callable[..., Job]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The place of a spool, known to the console."""
    monkeypatch.setenv("PQFS_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("PQFS_LOGS", str(tmp_path / "logs"))
    config.set_option("server.address", "127.0.0.1")
    config.set_option("server.allowedHosts", [])
    _forget_all()
    yield tmp_path
    _forget_all()


def _forget_all() -> None:
    """A console of its own for each test, in one process."""
    kept = [each for module in (door, overview, sessions, tree, undertakings) for each in vars(module).values()]
    for each in kept:
        if isinstance(each, Once):
            each.forget()


@pytest.fixture
def app(root: Path) -> Iterator[App]:
    """A whole, empty spool, opened beside the console."""
    Spool.create(root / "spool")
    opened = open_app(load())
    yield opened
    opened.close()


@pytest.fixture
def job(app: App) -> Fill:
    """Make a job: `job(name, state, error)`, its payload where it belongs."""

    def make(name: bytes = b"a.txt", state: State = State.PENDING, error: str | None = None) -> Job:
        now = time.time()
        made = submitted(app.jobqueue, now, name)
        if state is not State.PENDING:
            with app.index.transaction():
                (leased,) = app.index.lease([made.id], "consumer-00.1.a", now)
                if state is not State.PROCESSING:
                    ended = app.index.settle(Settlement(leased, state, Budget(1, 0, 0), now, error), now)
                    assert ended
                    source, target = app.spool.payload_path(made), app.spool.payload_path(ended)
                    app.spool.path(source).rename(app.spool.path(target))
                    app.index.confirm([ended])
        found = app.index.job(made.id)
        assert found
        return found

    return make


@pytest.fixture
def ten_thousand(app: App) -> list[str]:
    """Ids of 10,000 jobs, oldest first; they have no payloads."""
    ids, now = JobIds(), time.time() - 20_000
    arrivals = [Arrival(ids.next(now + n), "default", f"report-{n:05}.pdf".encode(), n) for n in range(10_000)]
    with app.index.transaction():
        app.index.insert(arrivals, "ingester.1.a", now)
    return [each.id for each in arrivals]
