"""What the last hours were like, minute by minute; and the forecast that rests on the last ten minutes."""

from __future__ import annotations

import pytest

from pqfs.index import Index
from pqfs.trends import forecast, trend
from tests.world import EPOCH


def _add(index: Index, ago: float, **figures: float) -> None:
    with index.transaction():
        index.add_stats("default", EPOCH - ago, **figures)  # type: ignore[arg-type]


def test_minutes_without_jobs_are_points_too(index: Index) -> None:
    points = trend(index, EPOCH, 3600.0)

    assert len(points) == 60
    assert points[-1].at == EPOCH // 60 * 60
    assert {point.seconds for point in points} == {60.0}
    assert sum(point.ingested for point in points) == 0
    assert points[0].mean_run is None


def test_figures_stand_at_their_minute_and_add_up(index: Index) -> None:
    _add(index, 0, completed=3, failed=1, run_seconds=2.0)
    _add(index, 600, ingested=7, size=70)
    _add(index, 7200, ingested=1000)

    points = trend(index, EPOCH, 3600.0)
    assert (points[-1].completed, points[-1].failed, points[-1].mean_run) == (3, 1, 0.5)
    assert (points[-11].ingested, points[-11].bytes) == (7, 70)
    assert sum(point.ingested for point in points) == 7, "what is older is not shown"


def test_a_day_has_no_more_points_than_an_hour(index: Index) -> None:
    _add(index, 84000, ingested=5)
    _add(index, 84030, ingested=5)

    points = trend(index, EPOCH, 86400.0)
    assert (len(points), points[0].seconds) == (60, 1440.0)
    assert sum(point.ingested for point in points) == 10


@pytest.mark.parametrize(
    ("figures", "seconds", "said"),
    [
        ({"completed": 600}, 100.0, "At the pace"),
        ({"completed": 600, "ingested": 300}, 200.0, "At the pace"),
        ({"completed": 600, "ingested": 600}, None, "does not shrink"),
        ({"ingested": 600}, None, "No job has ended"),
    ],
)
def test_a_backlog_is_forecast_by_what_came_and_went(
    index: Index, figures: dict[str, float], seconds: float | None, said: str
) -> None:
    _add(index, 60, **figures)

    found = forecast(index, 100, EPOCH)
    assert found.seconds == seconds
    assert said in found.sentence


def test_nothing_waits_is_a_forecast(index: Index) -> None:
    assert forecast(index, 0, EPOCH).seconds == 0.0
