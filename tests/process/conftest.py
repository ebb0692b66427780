"""The stage: real processes on a spool of the test's own; every test ends in invariants()."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.process.stage import Stage

if TYPE_CHECKING:
    from tests.server import Server

MakeStage = Callable[..., Stage]


@pytest.fixture
def make_stage(tmp_path: Path) -> Iterator[MakeStage]:
    """Build a stage from settings and handler code."""
    stages: list[Stage] = []

    def make(config: str = "", handlers: str = "") -> Stage:
        stages.append(Stage(tmp_path, config, handlers))
        return stages[-1]

    yield make
    for stage in stages:
        try:
            stage.close()
        finally:
            stage.abandon()


@pytest.fixture(scope="session")
def safe_server(server: Server) -> Iterator[Server]:
    """A server that may be killed. (It depends on the quick one so that both are skipped for one reason.)"""
    with type(server).started(safe=True) as found:
        yield found
