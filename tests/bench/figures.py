"""What every program here ends with: rows, what was promised of them, and the machine that they were made on.

A table for people, one JSON object for programs. Whether a target is met changes no exit code: a benchmark is a
measurement, not a test, and machines drift.
"""

from __future__ import annotations

import json
import math
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.scoreboard import machine

Value = int | float | str | None


@dataclass(frozen=True, slots=True)
class Target:
    """A promise about a figure: at least, or else at most, its bound."""

    claim: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps the promise; one that could not be had does not."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def verdict(self) -> str:
        """The figure beside its bound, in words."""
        sign = "≥" if self.at_least else "≤"
        met = "not measured" if math.isnan(self.value) else "met" if self.is_met else "NOT MET"
        return f"{_shown(self.value)} (target {sign} {_shown(self.bound)}): {met}"


@dataclass(frozen=True, slots=True)
class Figures:
    """The result of one run of one program. `details` are rows of another kind."""

    program: str
    command: str
    rows: Sequence[Mapping[str, Value]]
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()
    facts: Mapping[str, Value] = field(default_factory=dict)
    details: Sequence[Mapping[str, Value]] = ()


def publish(figures: Figures, as_json: bool) -> None:
    """Print the figures, with the facts of the machine."""
    facts: dict[str, Value] = {**machine(), "processor": _processor(), **figures.facts}
    if as_json:
        targets = [{**asdict(target), "met": target.is_met} for target in figures.targets]
        whole: dict[str, object] = {"program": figures.program, "command": figures.command, "machine": facts}
        whole |= {"rows": figures.rows, "details": figures.details, "targets": targets, "notes": figures.notes}
        print(json.dumps(_without_nan(whole)))
        return
    print(f"{figures.command}\n{', '.join(f'{name} {value}' for name, value in facts.items())}")
    for rows in filter(None, (figures.rows, figures.details)):
        print(f"\n{table(rows)}")
    lines = [f"{target.claim}: {target.verdict}" for target in figures.targets]
    print("", *lines, *figures.notes, sep="\n")


def table(rows: Sequence[Mapping[str, Value]]) -> str:
    """Rows under the names of their columns, numbers to the right."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_shown(row.get(name)) for name in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    numeric = [all(not isinstance(row.get(name), str) for row in rows) for name in columns]
    lines = [columns, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def median(values: Sequence[float]) -> float:
    """The middle of what was measured; not a number when nothing was."""
    return statistics.median(values) if values else math.nan


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed; not a number when there are none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else math.nan


def ratio(ours: float, theirs: float) -> float:
    """How many times theirs ours is; not a number where there is no theirs."""
    return ours / theirs if theirs else math.nan


def _shown(value: Value) -> str:
    """Three digits are what a measurement is worth."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _without_nan(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
