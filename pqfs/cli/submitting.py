"""How `pqfs submit` works: staged copies, or a drop into the inbox without rights on the spool."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import typer

from pqfs import naming, tracing
from pqfs.cli import awaiting, progress, terminal
from pqfs.clock import parse_iso
from pqfs.delivery import inbox
from pqfs.duplicates import Twin
from pqfs.durations import parse_duration
from pqfs.errors import Misconfigured, Refused
from pqfs.index import Act
from pqfs.model import Arrival, check_priority
from pqfs.settings import Settings
from pqfs.submission import Submitter, Wish, check_source, drop, may_submit
from pqfs.wiring import App

_BATCH = 256
_STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Order:
    """The options of `pqfs submit`, as they were written."""

    queue: str
    priority: int | None
    delay: str | None
    at: str | None
    name: str | None
    key: str | None
    wait: bool
    timeout: str | None
    as_json: bool
    traceparent: str | None = None
    tracestate: str | None = None

    def wish(self, now: float) -> Wish:
        """What it means now.

        Raises:
            Misconfigured: a priority or an instant out of bounds, one that can not be read, or two of them.
        """
        if self.delay and self.at:
            raise Misconfigured("--delay and --at exclude each other.")
        try:
            ready_at = now + parse_duration(self.delay) if self.delay else parse_iso(self.at) if self.at else 0.0
            wish = Wish(self.queue, self.priority, ready_at, self.key, self._options())
            wish.check(now)
            self.patience()
        except ValueError as error:
            raise Misconfigured(f"{str(error).rstrip('.')}.") from error
        return wish

    def _options(self) -> dict[str, Any] | None:
        named = {tracing.PARENT: self.traceparent, tracing.STATE: self.tracestate}
        metadata = {name: value for name, value in named.items() if value is not None}
        tracing.check(metadata)
        return {"metadata": metadata} if metadata else None

    def patience(self) -> float:
        """Seconds to wait at most."""
        return parse_duration(self.timeout) if self.timeout else float("inf")


def submit(context: typer.Context, files: Sequence[Path], order: Order) -> int:
    """Submit or drop; the exit code."""
    _check_names(files, order)
    settings = terminal.loaded(context).settings
    total = sum(check_source(path) for path in files if path != _STDIN)
    with progress.bar("copying", total, is_bytes=True) as advance:
        if settings.spool.is_dir() and not may_submit(settings):
            return _drop_all(settings, files, order, advance)
        app = terminal.opened(context)
        try:
            ids, rejected = _submit_all(app, files, order, advance)
        except BaseException:
            app.close()
            raise
    try:
        refused = 0 if not rejected else 7 if ids else 1
        if not order.wait:
            return refused
        awaiting.await_ends(app, ids, order.patience())
        return awaiting.say_ends(app, ids, order.as_json) or refused
    finally:
        app.close()


def checked_priority(priority: int | None) -> int | None:
    """The priority, if it is one.

    Raises:
        Misconfigured: it is out of bounds.
    """
    try:
        if priority is not None:
            check_priority(priority)
    except ValueError as error:
        raise Misconfigured(f"{error}.") from error
    return priority


def _check_names(files: Sequence[Path], order: Order) -> None:
    if _STDIN in files and not order.name:
        raise Misconfigured("A job from stdin needs a name.", "Say it with --name.")
    if order.name and len(files) > 1:
        raise Misconfigured("--name is for one file.")
    if order.key is not None and len(files) > 1:
        raise Misconfigured("--key is for one file.")
    if order.name is not None and (not order.name or "/" in order.name or order.name in (".", "..")):
        raise Misconfigured(f"{order.name!r} can not be a file's name.")


@contextmanager
def _source(path: Path) -> Iterator[IO[bytes]]:
    if path == _STDIN:
        yield sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield file


def _name(path: Path, order: Order) -> bytes:
    return os.fsencode(order.name or path.name)


def check_queue(app: App, name: str | None) -> None:
    """Refuse a queue that is none."""
    known = {queue.name for queue in app.index.queues()}
    if name is not None and name not in known:
        raise Refused(f"There is no queue {name}.", f"There are: {', '.join(sorted(known))}")


def _submit_all(
    app: App, files: Sequence[Path], order: Order, advance: Callable[[int], None]
) -> tuple[list[str], int]:
    """The ids that answer these files, and how many files were rejected."""
    check_queue(app, order.queue)
    wish = order.wish(app.clock.now())
    if order.key is not None and app.terms.queue(order.queue).duplicates == "off":
        terminal.say(f"Queue {order.queue} does not look for duplicates: the key is kept with the job, no more.")
    ids: list[str] = []
    rejected = 0
    with Submitter(app.jobqueue, "submit", app.clock, advance) as submitter:
        for first in range(0, len(files), _BATCH):
            staged = []
            for path in files[first : first + _BATCH]:
                with _source(path) as source:
                    staged.append(submitter.stage(source, _name(path, order), wish))
            arrivals = submitter.commit([_act(staged)])
            ids += [arrival.id for arrival in arrivals]
            rejected += _tell_twins(app, submitter.twins)
            if not order.as_json:
                for arrival in arrivals:
                    terminal.put(arrival.id)
    if order.as_json and not order.wait:
        awaiting.put_jobs(app, ids)
    return ids, rejected


def _tell_twins(app: App, twins: Sequence[Twin]) -> int:
    """Say which files are duplicates, and what became of them; how many were rejected."""
    became = {"warn": "It is a job all the same.", "link": "The earlier job answers.", "reject": "It was rejected."}
    for twin in twins:
        name, reason = naming.printable(twin.arrival.name), app.jobqueue.duplicates.reason(twin)
        terminal.say(f"{name}: {reason}. {became[twin.policy]}")
    return sum(twin.policy == "reject" for twin in twins)


def _act(staged: Sequence[Arrival]) -> Act:
    """One event for one commit."""
    first, last = staged[0], staged[-1]
    if len(staged) == 1:
        return Act(terminal.actor(), "submit", first.id, first.queue, after="pending")
    return Act(terminal.actor(), "submit", None, first.queue, after=f"{len(staged)} jobs, {first.id} to {last.id}")


def _drop_all(settings: Settings, files: Sequence[Path], order: Order, advance: Callable[[int], None]) -> int:
    from pqfs.clock import SystemClock

    if order.wait:
        raise Refused("This user may only drop files into the inbox, so no job can be waited for.")
    wish = order.wish(SystemClock().now())
    if not os.access(inbox(settings.spool, order.queue), os.W_OK | os.X_OK):
        raise Refused(f"This user may write neither {settings.spool} nor its inbox.")
    for path in files:
        with _source(path) as source:
            target = drop(settings.spool, source, _name(path, order), wish, advance)
        terminal.say(f"No rights on the spool: dropped into the inbox as {target}. Ask later: pqfs why {target}")
    return 0
