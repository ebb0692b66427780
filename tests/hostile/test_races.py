"""Every kind of object, at every point where it matters: the ingester neither hangs nor reaches outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.races import Race, name_of, races, run

# One in four at every run of the tests, all of them where the slow layers run.
RACES = [
    pytest.param(race, id=name_of(race), marks=[pytest.mark.slow] if number % 4 else [])
    for number, race in enumerate(races())
]


@pytest.mark.parametrize("race", RACES)
def test_whatever_lies_in_the_inbox_becomes_what_the_table_says(race: Race, tmp_path: Path) -> None:
    assert run(race, tmp_path / "ground") == []


def test_the_table_is_long_enough() -> None:
    assert len({kind.what for _, kind, _ in races()}) >= 40
