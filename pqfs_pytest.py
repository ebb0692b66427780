"""pytest's door to pqfs: the fixture `pqfs_queue`. Loaded at every start of pytest, so pqfs is imported at its use.

(Nothing below `pqfs` could promise that: importing any of it imports pqfs.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pqfs import Queue


@pytest.fixture
def pqfs_queue(tmp_path: Path) -> Iterator[Queue]:
    """An empty queue of a spool of its own, gone after the test."""
    from pqfs.testing import temporary_queue

    with temporary_queue(tmp_path / "pqfs") as queue:
        yield queue
