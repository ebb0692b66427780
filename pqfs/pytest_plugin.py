"""pytest's door to pqfs: the fixture `pqfs_queue`. Loaded whenever pytest starts; what a spool needs, at its use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pqfs.interface import Queue


@pytest.fixture
def pqfs_queue(tmp_path: Path) -> Iterator[Queue]:
    """An empty queue of a spool of its own, gone after the test."""
    from pqfs.testing import temporary_queue

    with temporary_queue(tmp_path / "pqfs") as queue:
        yield queue
