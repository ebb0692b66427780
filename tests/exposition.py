"""A strict reader of the text that is scraped, as promtool and Prometheus read it; it raises where they complain."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)")
_BASE_UNITS = ("seconds", "bytes")
_OTHER_UNITS = re.compile(r"_(ms|millis\w*|minutes?|hours?|days?|[kmg]i?b|kilobytes|megabytes|percent)(_|$)")
_UNESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_KINDS = ("gauge", "counter", "summary")
_PARTS = {"gauge": ("",), "counter": ("_total",), "summary": ("_sum", "_count")}


@dataclass
class Scraped:
    """A family as it was read: samples by name and labels."""

    kind: str
    help: str
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)


def read(text: str, openmetrics: bool = False) -> dict[str, Scraped]:
    """Families by the name that stands in their HELP and TYPE. Every AssertionError says what is wrong."""
    assert text.endswith("\n"), "the last line has no end"
    lines = text[:-1].split("\n")
    if openmetrics:
        assert lines.pop() == "# EOF", "OpenMetrics ends with # EOF"
    families: dict[str, Scraped] = {}
    ahead = iter(lines)
    for line in ahead:
        if match := re.fullmatch(rf"# HELP ({_NAME}) (.+)", line):
            name = match[1]
            assert name not in families, f"{name} is told twice, or its samples are not together"
            kind = re.fullmatch(rf"# TYPE {name} (\w+)", next(ahead))
            assert kind and kind[1] in _KINDS, f"{name} has no type"
            families[name] = Scraped(kind[1], match[2])
            _check_name(name, kind[1], openmetrics)
        else:
            assert families, f"a sample before any family: {line}"
            _add(families[name], name, line, openmetrics)
    assert all(each.samples for each in families.values()), "a family without a sample"
    return families


def _check_name(name: str, kind: str, openmetrics: bool) -> None:
    assert (name.endswith("_total")) == (kind == "counter" and not openmetrics), f"{name} is a {kind}"
    assert not re.search(r"_(sum|count|bucket|info)$", name), f"{name} ends as a part of another kind does"
    assert not _OTHER_UNITS.search(name), f"{name} is not in a base unit"
    words = name.removesuffix("_total").split("_")
    assert not set(_BASE_UNITS) & set(words[:-1]), f"the unit of {name} stands last"


def _add(family: Scraped, name: str, line: str, openmetrics: bool) -> None:
    match = _SAMPLE.fullmatch(line)
    assert match, f"no sample: {line}"
    told = name if openmetrics or family.kind != "counter" else name.removesuffix("_total")
    assert match[1] in [told + part for part in _PARTS[family.kind]], f"{match[1]} stands below {name}"
    key = (match[1], labels(match[2] or ""))
    assert key not in family.samples, f"twice: {line}"
    names = {tuple(each for each, _ in other) for _, other in family.samples}
    assert names <= {tuple(each for each, _ in key[1])}, f"{name} has other labels before"
    family.samples[key] = float(match[3])
    assert family.kind == "gauge" or family.samples[key] >= 0, f"below 0: {line}"


def labels(text: str) -> tuple[tuple[str, str], ...]:
    """The labels between the braces, unescaped."""
    found, at = list[tuple[str, str]](), 0
    while at < len(text):
        match = _LABEL.match(text, at)
        assert match, f"no label: {text[at:]}"
        found.append((match[1], re.sub(r'\\["\\n]', lambda escape: _UNESCAPED[escape[0]], match[2])))
        at = match.end()
    assert len({name for name, _ in found}) == len(found), f"a label twice: {text}"
    return tuple(found)
