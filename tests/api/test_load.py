"""A bounded run of the storm over HTTP; `python -m tests.api.load` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.load import storm


@pytest.mark.slow
def test_fifty_clients_lose_and_double_nothing_while_all_are_killed(tmp_path: Path) -> None:
    ledger = storm(tmp_path, seconds=12.0, clients=50, seed=7)

    assert ledger.counts["API killed"] and ledger.counts["consumer killed"]
    assert len(ledger.answered) >= 25
