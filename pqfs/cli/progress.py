"""Progress bars for long work: on stderr, only on a terminal, and only once the work has taken a moment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pqfs.model import State

_LONG = 20  # fewer steps than these are over before a bar could be read


@contextmanager
def bar(what: str, total: int | None, is_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """A function to call with each step's size. `total` None: a count without an end."""
    short = total is not None and not is_bytes and total < _LONG
    if not sys.stderr.isatty() or short:
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = DownloadColumn() if is_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
    # Redirected, data written meanwhile would come out on the bar's console, which is stderr.
    shown = Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    )
    with shown:
        line = shown.add_task(what, total=total)
        yield lambda step: shown.advance(line, step)


@contextmanager
def check(what: str, counts: Sequence[tuple[str, State, int]]) -> Iterator[Callable[[str, int], None]]:
    """A function to call with what is counted and how many so far: rows, and about as many names in the tree."""
    with bar(what, 2 * sum(jobs for _, _, jobs in counts)) as advance:
        last: dict[str, int] = {}

        def count(kind: str, number: int) -> None:
            advance(number - last.get(kind, 0))
            last[kind] = number

        yield count
