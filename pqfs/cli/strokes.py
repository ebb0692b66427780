"""What a key of `pqfs monitor` does to what is selected: the question that is asked first, and the act itself.

The acts are the verbs of the command line, done in the person's name; the monitor itself only reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pqfs.cli import terminal
from pqfs.cli.canvas import Thing, things
from pqfs.cli.frame import Frame, Trouble
from pqfs.errors import PqfsError
from pqfs.index.filters import Filters
from pqfs.queueing import Queueing
from pqfs.report import ConsumerStatus, QueueStatus
from pqfs.stack.configuration import SOCKET
from pqfs.stack.fleet import Author, Fleet
from pqfs.stack.supervisor import Supervisor
from pqfs.wiring import open_app

if TYPE_CHECKING:
    from pqfs.settings import Loaded
    from pqfs.wiring import App

_REASON = "from the monitor"
_AT_ONCE = 200  # dead letters that one key lets run again: a person waits before the screen meanwhile


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that can be done: what to ask before, and what does it and says what was done."""

    question: str
    act: Callable[[], str]


def deed(loaded: Loaded, frame: Frame, selected: int, key: str) -> Deed | str | None:
    """What a key means now; a sentence when it can not be done, None for a key that means nothing."""
    found = things(frame)
    chosen = found[selected] if 0 <= selected < len(found) else None
    match key:
        case "c":
            return _cancel(loaded, chosen)
        case "r":
            return _retry(loaded, chosen, frame)
        case "p":
            return _pause(loaded, chosen, frame)
        case "+" | "-":
            return _scale(loaded, frame, 1 if key == "+" else -1)
    return None


@contextmanager
def _opened(loaded: Loaded) -> Iterator[App]:
    app = open_app(loaded, tell=lambda sentence: None)
    try:
        yield app
    finally:
        app.close()


# -------------------------------------------------------------------- jobs


def _cancel(loaded: Loaded, chosen: Thing | None) -> Deed | str:
    if not isinstance(chosen, ConsumerStatus) or chosen.running is None:
        return "Select a consumer that runs a job."
    running = chosen.running
    return Deed(
        f"Cancel {running.name} ({running.job}), which {chosen.program} runs?",
        partial(_do_cancel, loaded, running.job),
    )


def _do_cancel(loaded: Loaded, job: str) -> str:
    with _opened(loaded) as app:
        app.jobqueue.cancel(app.jobqueue.job(job), terminal.actor(), _REASON, app.clock.now())
    return f"Job {job} is being ended."


def _retry(loaded: Loaded, chosen: Thing | None, frame: Frame) -> Deed | str:
    if not frame.errors:
        return "There are no dead letters."
    group = chosen if isinstance(chosen, Trouble) else frame.errors[0] if len(frame.errors) == 1 else None
    if group is None:
        return "Select an error."
    said = f"Let the dead letters of queue {group.queue} run once more that died of: {group.error}?"
    return Deed(said, partial(_do_retry, loaded, group))


def _do_retry(loaded: Loaded, group: Trouble) -> str:
    done = 0
    with _opened(loaded) as app:
        wanted = Filters(app.index).dead(group.fingerprint, group.queue, None, _AT_ONCE)
        for job in wanted:
            try:
                app.jobqueue.redrive(job, terminal.actor(), _REASON, app.clock.now())
            except PqfsError:
                continue  # somebody was quicker
            done += 1
    more = f" All of them: pqfs dead redrive --group {group.fingerprint}" if len(wanted) == _AT_ONCE else ""
    return f"Waiting again: {done} of them.{more}"


# -------------------------------------------------------------------- queues, consumers


def _pause(loaded: Loaded, chosen: Thing | None, frame: Frame) -> Deed | str:
    queues = frame.seen.queues if frame.seen else ()
    queue = chosen if isinstance(chosen, QueueStatus) else queues[0] if len(queues) == 1 else None
    if queue is None:
        return "Select a queue."
    word = "Resume" if queue.paused_at is not None else "Pause"
    return Deed(f"{word} queue {queue.name}?", partial(_do_pause, loaded, queue.name, word))


def _do_pause(loaded: Loaded, queue: str, word: str) -> str:
    with _opened(loaded) as app:
        queueing = Queueing(app.jobqueue)
        if word == "Pause":
            queueing.pause(queue, None, terminal.actor(), _REASON, app.clock.now())
        else:
            queueing.resume(queue, terminal.actor(), _REASON, app.clock.now())
    return f"Queue {queue} is {'paused' if word == 'Pause' else 'open again'}."


def _scale(loaded: Loaded, frame: Frame, more: int) -> Deed | str:
    serving = sum(each.is_alive and each.queues is None for each in frame.seen.consumers) if frame.seen else 0
    with _opened(loaded) as app:
        wanted = sum(queues is None for queues in _fleet(app).roster().values())
    count = wanted + more
    if count < 0:
        return "There is none to let go."
    now = f"{serving} run now" if serving == wanted else f"{serving} run now, {wanted} are wanted"
    return Deed(f"Have {count} consumers that serve all queues ({now})?", partial(_do_scale, loaded, count))


def _do_scale(loaded: Loaded, count: int) -> str:
    with _opened(loaded) as app:
        change = _fleet(app).scale(count, None, Author(terminal.actor(), _REASON))
    return f"Wanted: {count}." if change.is_running else f"Wanted from the next start on: {count}."


def _fleet(app: App) -> Fleet:
    return Fleet(app, Supervisor(app.settings.spool / SOCKET))
