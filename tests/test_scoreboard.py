"""The row that every layer of the proof ends with."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.scoreboard import Score, report, table

SOUND = Score("power loss", 12, "states", (), 1.0, "python -m tests.power", seed=7, details=Counter({"ext4": 12}))


def test_a_run_that_tried_nothing_has_failed() -> None:
    assert SOUND.exit_code == 0
    assert Score("power loss", 0, "states", (), 1.0, "x").exit_code == 1
    assert Score("power loss", 12, "states", ("state 4, seed 7: lost",), 1.0, "x").exit_code == 1


def test_a_row_is_recorded_with_what_it_was_made_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = tmp_path / "rows.jsonl"
    assert report(SOUND, argparse.Namespace(json=False, record=record)) == 0
    assert "power loss: 12 states, 0 violations" in capsys.readouterr().out
    row = json.loads(record.read_text())
    assert row["details"] == {"ext4": 12}
    assert (row["tried"], row["violated"], row["seed"], bool(row["kernel"])) == (12, 0, 7, True)
    assert "| power loss | 12 states | 0 | `python -m tests.power` |" in table([row])
