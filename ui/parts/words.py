"""Numbers, instants and the texts of strangers, as words for people."""

from __future__ import annotations

from datetime import UTC, datetime

_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]()<>#+-.!|~$:&^="})
_JOINER = "\N{WORD JOINER}"  # no width: what a page would make a link of is two words to it
_LINKS = (
    ("://", f":{_JOINER}//"),
    ("www.", f"www{_JOINER}."),
    ("@", f"{_JOINER}@"),
    ("mailto:", f"mailto{_JOINER}:"),
)


def plain(text: str) -> str:
    """Text from strangers, in which no mark means anything: a file may be called `**x**` or `:red[x]`."""
    return _unlinked(text).translate(_MARKS)


def _unlinked(text: str) -> str:
    for mark, harmless in _LINKS:
        text = text.replace(mark, harmless).replace(mark.upper(), harmless.upper())
    return text


def short(text: str | None, most: int = 120) -> str:
    """The beginning of a text, in one line."""
    line = " ".join((text or "").split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def elapsed(seconds: float | None) -> str:
    """`7 s`, `3 min`, `2 h`, `5 d`; `none` for nothing."""
    if seconds is None:
        return "none"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 2 or seconds == 0 else f"{seconds:.1f} s"


def size(count: float | None) -> str:
    """Bytes with a unit that fits: `117 B`, `4.2 MiB`."""
    if count is None:
        return "?"
    units = iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while count >= 1024 and unit != "TiB":
        count, unit = count / 1024, next(units)
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def number(count: int, is_capped: bool = False) -> str:
    """`12,345`, or `10,000+` where counting stopped."""
    return f"{count:,}+" if is_capped else f"{count:,}"


def counted(count: int, noun: str) -> str:
    """`1 job`, `1,200 jobs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def when(instant: float | None) -> str:
    """`2026-11-22 04:31:26`, in UTC; what is not on the calendar is `?`."""
    if instant is None:
        return ""
    try:
        return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "?"


def hour(instant: float) -> str:
    """`04:31:26 UTC`."""
    return f"{when(instant)[-8:]} UTC"
