"""More files at once than the kernel's event queue holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.burst import burst


@pytest.mark.slow
def test_none_of_20000_files_is_missing_or_doubled_although_the_event_queue_overflows(tmp_path: Path) -> None:
    found = burst(tmp_path, 20_000)

    assert list(found.wrong()) == []
    assert found.grown < 150 * 2**20
