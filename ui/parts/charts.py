"""Plots of the last hours. Lines differ by dash and legend as well as by colour (Okabe and Ito's).

Each is a picture of lines between words, and a column for each instant that tells its numbers to who points there. It
comes with the page: the browser loads no program to draw it, and the server builds no table of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

import streamlit as st

from ui.parts.words import hour, when
from ui.store.overview import Point

_DAY = 86400.0
_WIDTH, _TICKS = 1000, 4
_SIZES = (1, 2, 2.5, 5, 10)
_SAFE = " /:=';,()"  # in an address that stands between double quotes
_GRID = "".join(
    f'<path d="M0 {_WIDTH * step / 2:g}H{_WIDTH}" stroke="#888" stroke-opacity=".4"/>' for step in range(3)
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot: what it is of, its colour, dashes, and value at each point that has one."""

    what: str
    colour: str
    dashes: str
    values: Sequence[float | None]


def charts(points: Sequence[Point]) -> None:
    """Side by side: what came, ended and failed in a minute; how long jobs have run."""
    st.html(f'<div class="plots">{_pace(points)}{_runs(points)}</div>')


def _pace(points: Sequence[Point]) -> str:
    lines = (
        Line("taken in", "#0072B2", "7 4", [each.ingested * 60 / each.seconds for each in points]),
        Line("completed", "#009E73", "none", [each.completed * 60 / each.seconds for each in points]),
        Line("failed", "#D55E00", "2 3", [each.failed * 60 / each.seconds for each in points]),
    )
    sums = (("ingested", "taken in"), ("completed", "completed"), ("failed", "failed"))
    total = ", ".join(f"{sum(getattr(each, name) for each in points):,} {said}" for name, said in sums)
    return _figure("Jobs a minute", points, lines, f"In all: {total}.")


def _runs(points: Sequence[Point]) -> str:
    title, ended = "Seconds that a job runs", sum(each.completed + each.failed for each in points)
    if not ended:
        return f"<figure><figcaption><b>{title}</b></figcaption><p>No job has ended in this time.</p></figure>"
    mean = sum(each.run_seconds for each in points) / ended
    line = Line("mean", "#0072B2", "none", [each.mean_run for each in points])
    return _figure(title, points, (line,), f"On average {mean:.3g} s, over {ended:,} jobs.")


# -------------------------------------------------------------------- a plot


def _figure(title: str, points: Sequence[Point], lines: Sequence[Line], said: str) -> str:
    """Its name and legend; the field with the numbers beside and the hours below it; and all of it in a sentence."""
    top = _top(max((value or 0.0 for line in lines for value in line.values), default=0.0))
    legend = "".join(f"<span>{_sample(line)} {line.what}</span>" for line in lines)
    marks = "".join(f"<span>{top * share:g}</span>" for share in (1, 0.5, 0))
    picture = f'<img src="{_picture(lines, top)}" alt="{escape(f"{title}, over time. {said}")}">'
    return (
        f'<figure><figcaption><b>{title}</b>{legend}</figcaption><div class="marks">{marks}</div>'
        f'<div class="field">{picture}<div class="reads">{_reads(points, lines)}</div></div>'
        f'<div class="hours">{_hours(points)}</div><p>{said}</p></figure>'
    )


def _top(most: float) -> float:
    """A round number that is no less: the upper end of the scale."""
    if most <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(size * power for size in _SIZES if size * power >= most)


def _sample(line: Line) -> str:
    path = f'<path d="M0 2H24" stroke="{line.colour}" stroke-width="3" stroke-dasharray="{line.dashes}"/>'
    return f'<img src="{_svg("0 0 24 4", path)}" alt="" width="24" height="4">'


def _picture(lines: Sequence[Line], top: float) -> str:
    """The lines in a square that is stretched to the field; strokes keep their width."""
    return _svg(f"0 0 {_WIDTH} {_WIDTH}", _GRID + "".join(_drawn(line, top) for line in lines))


def _svg(box: str, drawn: str) -> str:
    style = "<style>path{fill:none;vector-effect:non-scaling-stroke}</style>"
    said = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" preserveAspectRatio="none">{style}{drawn}</svg>'
    return f"data:image/svg+xml,{quote(said, safe=_SAFE)}"


def _drawn(line: Line, top: float) -> str:
    """A stroke through what is known; a value between two unknown ones is a dot."""
    step, strokes, dots = _WIDTH / max(1, len(line.values) - 1), "", ""
    around = [None, *line.values, None]
    for at, value in enumerate(line.values):
        if value is not None:
            place = f"{at * step:.0f} {_WIDTH * (1 - value / top):.0f}"
            strokes += f"{'M' if around[at] is None else 'L'}{place}"
            dots += f"M{place}h0" if around[at] is around[at + 2] is None else ""
    look = f'stroke="{line.colour}" stroke-linecap="round"'
    drawn = f'<path d="{strokes}" {look} stroke-width="2" stroke-dasharray="{line.dashes}"/>'
    return drawn + (f'<path d="{dots}" {look} stroke-width="7"/>' if dots else "")


def _reads(points: Sequence[Point], lines: Sequence[Line]) -> str:
    """A column for each instant, with its numbers for who points there."""
    columns = zip(points, *(line.values for line in lines), strict=True)
    return "".join(f'<i title="{_read(point, values, lines)}"></i>' for point, *values in columns)


def _read(point: Point, values: Sequence[float | None], lines: Sequence[Line]) -> str:
    known = [(value, line.what) for line, value in zip(lines, values, strict=True) if value is not None]
    return f"{when(point.at)} UTC: {', '.join(f'{value:.3g} {what}' for value, what in known) or 'nothing'}"


def _hours(points: Sequence[Point]) -> str:
    is_long = points[-1].at - points[0].at > _DAY
    chosen = [points[round(at * (len(points) - 1) / _TICKS)] for at in range(_TICKS + 1)]
    return "".join(f"<span>{when(each.at)[5:16] if is_long else hour(each.at)[:5]}</span>" for each in chosen)
