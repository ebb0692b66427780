"""Whatever a file is called, it comes out byte for byte, and no surface does what its name says."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.passage import passage


def test_hundreds_of_strange_names_come_out_as_they_went_in_and_are_shown_without_harm(tmp_path: Path) -> None:
    assert list(passage(tmp_path, seed=7, count=600)) == []
