"""Plots of the last hours. Lines differ by dash and legend as well as by colour (Okabe and Ito's)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import altair as alt
import streamlit as st

from ui.store.overview import Point

_SERIES = ("taken in", "completed", "failed")
_COLOURS = ("#0072B2", "#009E73", "#D55E00")
_HEIGHT = 240


def pace_chart(points: Sequence[Point]) -> None:
    """Jobs a minute: taken in, completed, failed."""
    st.markdown("**Jobs a minute**")
    rows: list[dict[str, Any]] = []
    for each in points:
        minutes = each.seconds / 60
        for name, jobs in zip(_SERIES, (each.ingested, each.completed, each.failed), strict=True):
            rows.append({"at": _at(each), "what": name, "jobs": jobs / minutes})
    colour = alt.Color("what:N", title=None, scale=alt.Scale(domain=list(_SERIES), range=list(_COLOURS)))
    dash = alt.StrokeDash("what:N", title=None, scale=alt.Scale(domain=list(_SERIES), range=[[6, 3], [1, 0], [2, 2]]))
    chart = _line(rows, "jobs:Q", "jobs a minute").encode(
        color=colour.legend(orient="top"), strokeDash=dash.legend(None)
    )
    total = ", ".join(f"{sum(getattr(each, name) for each in points):,} {said}" for name, said in _TOLD)
    st.altair_chart(chart, height=_HEIGHT, alt=f"Jobs a minute over time: {total}")
    st.caption(f"In all: {total}.")


_TOLD = (("ingested", "taken in"), ("completed", "completed"), ("failed", "failed"))


def run_chart(points: Sequence[Point]) -> None:
    """How long a job has run, on average."""
    st.markdown("**Seconds that a job runs**")
    rows = [{"at": _at(each), "seconds": each.mean_run} for each in points if each.mean_run is not None]
    if not rows:
        st.caption("No job has ended in this time.")
        return
    ended = sum(each.completed + each.failed for each in points)
    mean = sum(each.run_seconds for each in points) / ended
    chart = _line(rows, "seconds:Q", "seconds").mark_line(point=True, color=_COLOURS[0])
    st.altair_chart(chart, height=_HEIGHT, alt=f"Mean seconds that a job ran over time; in all {mean:.3g}")
    st.caption(f"On average {mean:.3g} s, over {ended:,} jobs.")


def _line(rows: list[dict[str, Any]], y: str, title: str) -> alt.Chart:
    time_ = alt.X("at:T", title=None, axis=alt.Axis(format="%H:%M", labelOverlap=True), scale=alt.Scale(type="utc"))
    chart: alt.Chart = alt.Chart(alt.InlineData(values=rows)).mark_line()
    return chart.encode(x=time_, y=alt.Y(y, title=title))


def _at(point: Point) -> str:
    return datetime.fromtimestamp(point.at, UTC).isoformat()
