"""How a frame of `pqfs monitor` looks: lines of styled text that fit a width and a height.

Lines and not a table of rich's: a line that has not changed is not drawn again, which keeps the terminal still and
the cost of a second in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import set_cell_size
from rich.text import Text

from pqfs.cli import terminal
from pqfs.cli.frame import Frame, Trouble
from pqfs.cli.glance import size
from pqfs.health import Finding, Severity
from pqfs.naming import one_line
from pqfs.report import ConsumerStatus, Overview, QueueStatus, Rates

Thing = QueueStatus | ConsumerStatus | Trouble
_KEYS = "up/down select   p pause/resume   c cancel   r retry   +/- consumers   ? help   q quit"
_BAR = 10  # characters of a progress bar
_HEAD = 5  # lines above the first section
_ALARMS = 6  # findings that are shown at most
_STYLES = {Severity.ALARM: "bold red", Severity.NOTICE: "yellow"}

HELP = (
    "up, down, j, k   select a queue, a consumer or an error",
    "p                pause the selected queue, or resume it",
    "c                cancel the job that the selected consumer runs",
    "r                let the jobs of the selected error run once more",
    "+  -             one consumer more, one less (of those that serve all queues)",
    "?                this page",
    "q                quit; nothing stops",
    "",
    "Each act is asked about first: y does it, any other key does not.",
)


@dataclass(frozen=True, slots=True)
class View:
    """What the person has chosen, and what is said at the foot. `columns` and `lines`: the terminal's size."""

    columns: int = 100
    lines: int = 40
    selected: int = 0
    foot: str = ""
    is_question: bool = False
    has_keys: bool = True
    shows_help: bool = False


def things(frame: Frame) -> list[Thing]:
    """What can be selected, in the order in which it is shown."""
    return [*frame.seen.queues, *frame.seen.consumers, *frame.errors] if frame.seen else []


def draw(frame: Frame, view: View) -> list[Text]:
    """The lines of a frame, at most as many as the view has, each at most as wide as it is."""
    body = [Text(line) for line in HELP] if view.shows_help else list(_body(frame, view))
    room = max(0, view.lines - 1)
    if len(body) > room:
        body = [*body[: max(0, room - 1)], Text("…", "dim")][:room]
    body += [Text() for _ in range(room - len(body))] if view.has_keys else []
    lines = [*body, _foot(view)] if view.has_keys else body
    return [_cut(line, view.columns) for line in lines]


def _cut(line: Text, columns: int) -> Text:
    if line.cell_len > columns:
        line = line.copy()
        line.truncate(columns, overflow="ellipsis")
    return line


def _foot(view: View) -> Text:
    style = "bold reverse yellow" if view.is_question else "bold" if view.foot else "dim"
    return Text(one_line(view.foot) or _KEYS, style)


def _body(frame: Frame, view: View) -> Iterator[Text]:
    if frame.seen is None:
        yield Text.assemble(("pqfs", "bold"), f"  {frame.spool}")
        yield Text(one_line(frame.trouble or ""), "bold red")
        return
    yield from _head(frame, frame.seen)
    yield from _findings(frame.findings)
    chosen = things(frame)[view.selected : view.selected + 1]
    limits = _shares(frame, frame.seen, view.lines - _HEAD - min(len(frame.findings), _ALARMS) - 8)
    yield from _section("QUEUES", [(each, _queue(each)) for each in frame.seen.queues], chosen, limits[0])
    yield from _section("CONSUMERS", [(each, _consumer(each)) for each in frame.seen.consumers], chosen, limits[1])
    if frame.errors:
        told = [(each, _error(each)) for each in frame.errors]
        yield from _section("NEWEST ERRORS", told, chosen, limits[2])


def _shares(frame: Frame, seen: Overview, room: int) -> tuple[int, int, int]:
    """How many rows each section may have: what it needs, while there is room; consumers get what is left."""
    errors = min(len(frame.errors), max(2, room // 4))
    queues = min(len(seen.queues), max(2, (room - errors) // 3))
    return queues, max(2, room - errors - queues), errors


# -------------------------------------------------------------------- the top


def _head(frame: Frame, seen: Overview) -> Iterator[Text]:
    is_well = not any(each.severity is Severity.ALARM for each in frame.findings)
    health = ("well", "green") if is_well else ("ALARM", "bold red")
    yield Text.assemble(("pqfs", "bold"), "  ", health, f"  {terminal.when(seen.at)}  {frame.spool}")
    yield Text("  ".join(f"{state} {count:,}" for state, count in seen.jobs.items()))
    yield Text(f"a minute: {_rates(seen.last_minute)}   an hour: {_rates(seen.last_hour)}")
    waited = "nothing waits" if seen.oldest_wait is None else f"the oldest waits for {_span(seen.oldest_wait)}"
    more = "+" if seen.inbox_capped else ""
    yield Text(
        f"{waited}   inbox {seen.inbox:,}{more}   rejected {seen.rejected:,}   disk {size(seen.free_bytes)} free"
    )


def _rates(rates: Rates) -> str:
    return f"{rates.ingested:,.0f} in, {rates.completed:,.0f} completed, {rates.failed:,.0f} failed"


def _findings(findings: Sequence[Finding]) -> Iterator[Text]:
    yield Text()
    for each in sorted(findings, key=lambda each: each.severity is not Severity.ALARM)[:_ALARMS]:
        yield Text(one_line(f"{each.severity:<7} {each.name}: {each.sentence} {each.hint}"), _STYLES[each.severity])
    if findings:
        yield Text()


# -------------------------------------------------------------------- sections


def _section(
    title: str, rows: Sequence[tuple[Thing, Text]], chosen: Sequence[Thing], limit: int
) -> Iterator[Text]:  # fmt: skip
    """A title and as many rows as there is room for, the chosen one among them."""
    at = next((n for n, (thing, _) in enumerate(rows) if any(thing is each for each in chosen)), None)
    first = 0 if at is None else max(0, min(at - limit + 1, len(rows) - limit))
    hidden = len(rows) - min(limit, len(rows))
    yield Text(f"{title}{f'  ({hidden} more)' if hidden else ''}", "bold")
    for number, (_, line) in enumerate(rows[first : first + limit], first):
        mark = Text("> " if number == at else "  ")
        yield Text.assemble(mark, line, style="reverse" if number == at else "")
    if not rows:
        yield Text("  none", "dim")
    yield Text()


def _queue(queue: QueueStatus) -> Text:
    said = " ".join(f"{state} {jobs:,}" for state, jobs in queue.jobs.items() if jobs) or "empty"
    oldest = "" if queue.oldest_wait is None else f"  the oldest waits for {_span(queue.oldest_wait)}"
    line = Text(f"{_cell(queue.name, 16)} {said}{oldest}")
    if queue.paused_at is not None:
        line.append(f"  paused by {queue.paused_by}: {one_line(queue.paused_reason or '')}", "yellow")
    return line


def _consumer(each: ConsumerStatus) -> Text:
    serves = "all" if each.queues is None else ",".join(each.queues)
    line = Text(f"{_cell(each.program, 13)} {each.pid:>8}  {_cell(serves, 12)} {each.completed:>9,}  ")
    if not each.is_alive:
        return line.append(f"{each.life.value}, silent for {_span(each.silent)}", "red")
    if each.running is None:
        return line.append("idle", "dim")
    done = int(min(1.0, max(0.0, each.running.progress)) * _BAR)
    bar = f"[{'#' * done}{'.' * (_BAR - done)}] " if each.running.progress else ""
    return line.append(f"{bar}{_span(each.running.seconds)}  {one_line(each.running.name)}", "cyan")


def _error(each: Trouble) -> Text:
    text = f"{each.count:>4} x  {_cell(each.queue, 12)} {terminal.when(each.last_at)}  {one_line(each.error)}"
    return Text(text.replace("\n", " "), "red")


def _cell(text: str, width: int) -> str:
    return set_cell_size(one_line(text), width)


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plain(frame: Frame, columns: int) -> str:
    """A frame as text for a pipe or a file: no colours, no keys, and as long as it has to be."""
    view = replace(View(), columns=columns, lines=10_000, selected=-1, has_keys=False)
    return "\n".join(line.plain.rstrip() for line in draw(frame, view)).rstrip()
