"""The stage: real processes on a spool of the test's own; every test ends in invariants()."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.stage import Stage

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
