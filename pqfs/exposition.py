"""The text in which figures are scraped: Prometheus' format 0.0.4, and OpenMetrics 1.0.

A writer of our own: what a library brings beyond these lines is a registry of figures that live in a process, and
ours live in the spool.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Kind(StrEnum):
    """What a family of figures is."""

    GAUGE = "gauge"
    COUNTER = "counter"  # only grows, until what counts begins anew; its samples end in _total
    SUMMARY = "summary"  # here only a sum and a count


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure. `part`: of a summary, `sum` or `count`."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    part: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """Figures of one name; that of a counter stands here without its `_total`."""

    name: str
    kind: Kind
    help: str
    samples: tuple[Sample, ...]

    def sample_name(self, sample: Sample) -> str:
        """The name under which a sample is scraped."""
        if self.kind is Kind.COUNTER:
            return f"{self.name}_total"
        return f"{self.name}_{sample.part}" if sample.part else self.name


def written(families: Iterable[Family], openmetrics: bool = False) -> str:
    """The text of all families, each with its help and type once; a family without figures is left out."""
    lines = [line for family in families if family.samples for line in _lines(family, openmetrics)]
    return "\n".join([*lines, "# EOF", ""] if openmetrics else [*lines, ""])


def _lines(family: Family, openmetrics: bool) -> Iterator[str]:
    """OpenMetrics names a counter without its ending where it tells of it."""
    is_whole = family.kind is Kind.COUNTER and not openmetrics
    told = f"{family.name}_total" if is_whole else family.name
    yield f"# HELP {told} {_help(family.help)}"
    yield f"# TYPE {told} {family.kind}"
    for sample in family.samples:
        yield f"{family.sample_name(sample)}{_labels(sample.labels)} {_number(sample.value)}"


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_value(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _value(text: str) -> str:
    """What can not be said in UTF-8 is told by its escapes."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(int(value) if float(value).is_integer() else value)
