"""Plots of the last hours. Lines differ by dash and legend as well as by colour (Okabe and Ito's).

They are written in Vega-Lite's own words: Altair, which could write them, takes a second to import, and looks at
pandas while another session may still be importing that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from ui.store.overview import Point

_SERIES = (("ingested", "taken in", "#0072B2", [6, 3]), ("completed", "completed", "#009E73", [1, 0]),
           ("failed", "failed", "#D55E00", [2, 2]))  # fmt: skip
_HEIGHT = 240
_DAY = 86400.0


def pace_chart(points: Sequence[Point]) -> None:
    """Jobs a minute: taken in, completed, failed."""
    st.markdown("**Jobs a minute**")
    rows = [
        {"at": _at(each), "what": said, "jobs": getattr(each, name) / (each.seconds / 60)}
        for each in points
        for name, said, *_ in _SERIES
    ]
    said = [said for _, said, *_ in _SERIES]
    colour = {"field": "what", "type": "nominal", "title": None, "legend": {"orient": "top"}}
    dash = {"field": "what", "type": "nominal", "title": None, "legend": None}
    encoding = {
        "y": {"field": "jobs", "type": "quantitative", "title": "jobs a minute"},
        "color": {**colour, "scale": {"domain": said, "range": [shade for *_, shade, _ in _SERIES]}},
        "strokeDash": {**dash, "scale": {"domain": said, "range": [strokes for *_, strokes in _SERIES]}},
    }
    total = ", ".join(f"{sum(getattr(each, name) for each in points):,} {said}" for name, said, *_ in _SERIES)
    _draw(points, rows, encoding, {"type": "line"}, f"Jobs a minute over time: {total}")
    st.caption(f"In all: {total}.")


def run_chart(points: Sequence[Point]) -> None:
    """How long a job has run, on average."""
    st.markdown("**Seconds that a job runs**")
    rows = [{"at": _at(each), "seconds": each.mean_run} for each in points if each.mean_run is not None]
    if not rows:
        st.caption("No job has ended in this time.")
        return
    ended = sum(each.completed + each.failed for each in points)
    mean = sum(each.run_seconds for each in points) / ended
    encoding = {"y": {"field": "seconds", "type": "quantitative", "title": "seconds"}}
    mark = {"type": "line", "point": True, "color": "#0072B2"}
    _draw(points, rows, encoding, mark, f"Mean seconds that a job ran over time; in all {mean:.3g}")
    st.caption(f"On average {mean:.3g} s, over {ended:,} jobs.")


def _draw(
    points: Sequence[Point], rows: list[dict[str, Any]], encoding: dict[str, Any], mark: dict[str, Any], alt: str
) -> None:
    """A plot over the whole period, also where nothing happened at its ends."""
    is_long = points[-1].at - points[0].at > _DAY
    axis = {"format": "%m-%d %H:%M" if is_long else "%H:%M", "labelOverlap": True}
    scale = {"type": "utc", "domain": [_at(points[0]), _at(points[-1])]}
    time = {"field": "at", "type": "temporal", "title": None, "axis": axis, "scale": scale}
    spec = {"data": {"values": rows}, "mark": mark, "encoding": {"x": time, **encoding}}
    st.vega_lite_chart(spec, height=_HEIGHT, alt=alt)


def _at(point: Point) -> str:
    return datetime.fromtimestamp(point.at, UTC).isoformat()
