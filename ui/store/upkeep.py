"""Submitting by hand, trying a queue, and looking after the spool: cleanup, backup, settings, users, the audit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from pqfs import verbs
from pqfs.backup import back_up
from pqfs.browse import Preview, preview, printable_below
from pqfs.durations import parse_duration
from pqfs.errors import Misconfigured, Refused
from pqfs.index import Act
from pqfs.index.audit import Audit, Findings, Question, Record
from pqfs.instants import instant
from pqfs.model import Job
from pqfs.naming import printable
from pqfs.origins import in_force, rows
from pqfs.passwords import SHORTEST, User, Users
from pqfs.queueing import Queueing
from pqfs.retention import Expired, expired
from pqfs.submission import Submitter, Wish
from pqfs.wiring import App
from ui.store.door import Answer, ask, look_at, noted
from ui.store.undertakings import Author, Undertaking, begin

__all__ = ["SHORTEST", "Expired", "Findings", "Record", "User"]

EVENTS = 100  # a page of the audit


@dataclass(frozen=True, slots=True)
class Given:
    """A file that somebody brings: its name as he wrote it, and its bytes."""

    name: str
    source: IO[bytes]


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of the jobs: `priority` empty: the queue's; `delay` as 10m, or empty; `key` against twins."""

    queue: str
    priority: str = ""
    delay: str = ""
    key: str = ""

    def wish(self, now: float) -> Wish:
        """What that means now.

        Raises:
            Misconfigured: a value that can not be.
        """
        try:
            priority = int(self.priority) if self.priority.strip() else None
            ready_at = now + parse_duration(self.delay.strip()) if self.delay.strip() else 0.0
            wish = Wish(self.queue, priority, ready_at, self.key.strip() or None)
            wish.check(now)
        except ValueError as error:
            raise Misconfigured(
                f"{str(error).rstrip('.')}.", "A priority is a whole number, a delay is 90s, 5m, 2h."
            ) from error
        return wish


def text(name: str, said: str) -> Given:
    """A file of what was typed."""
    return Given(name, BytesIO(said.encode(errors="surrogatepass")))


def submit(given: Sequence[Given], order: Order, author: Author) -> Answer[int]:
    """Make these files jobs; once the report is there they survive anything."""

    def work(app: App, undertaking: Undertaking) -> str:
        names = [_file_name(each.name) for each in given]
        wish = order.wish(app.clock.now())
        Queueing(app.jobqueue).queue(order.queue)
        with Submitter(app.jobqueue, "console", app.clock) as submitter:
            staged = [submitter.stage(each.source, name, wish) for each, name in zip(given, names, strict=True)]
            acts = [
                Act(author.actor, "submit", each.id, each.queue, author.reason, after="pending") for each in staged
            ]
            made = submitter.commit(acts)
            twins = [
                f"{printable(twin.arrival.name)}: {app.jobqueue.duplicates.reason(twin)}." for twin in submitter.twins
            ]
        for arrival in made:
            undertaking.note(arrival.id)
        return " ".join((f"Jobs: {', '.join(each.id for each in made) or 'none'}.", *twins))

    return begin(f"Submit {len(given)} files to {order.queue}" if len(given) != 1 else "Submit a file", author, work)


def _file_name(name: str) -> bytes:
    found = name.encode(errors="surrogateescape")
    if not found or b"/" in found or found in (b".", b"..") or b"\0" in found or len(found) > 255:
        raise Refused(f"{name!r} can not be a file's name.")
    return found


# -------------------------------------------------------------------- trying a queue


def head(queue: str) -> Answer[Job]:
    """The job of a queue that would run next."""
    return ask(lambda app: _head(app, queue))


def _head(app: App, queue: str) -> Job:
    found = app.index.head(queue)
    if found is None:
        raise Refused(f"Nothing of queue {queue} is due.")
    return found


def beginning(job: Job) -> Answer[Preview]:
    """The beginning of a job's payload, wherever it is now."""

    def question(app: App) -> Preview:
        found = app.index.job(job.id) or job
        return preview(app.spool.root, printable_below(app.spool.root, app.spool.path(app.spool.payload_path(found))))

    return ask(question)


def take_out(job: Job, author: Author) -> Answer[int]:
    """Take the job that would run next out of its queue: it is cancelled, and its file kept with the cancelled."""

    def work(app: App, undertaking: Undertaking) -> str:
        found = app.index.job(job.id)
        if found is None or found.state is not job.state:
            raise Refused(f"Job {job.id} is {found.state if found else 'deleted'} by now.")
        verbs.carry_out(app.jobqueue, verbs.CANCEL, job.id, author.actor, author.reason, app.clock.now())
        undertaking.note(job.id)
        return f"Job {job.id} is out of queue {job.queue}: cancelled, its file kept. Resubmit it to put it back."

    return begin(f"Dequeue {printable(job.name)}", author, work)


# -------------------------------------------------------------------- upkeep


def no_longer_kept() -> Answer[list[Expired]]:
    """What the settings (keep.…) no longer keep."""
    return ask(expired, "expired", 10.0)


def cleanup(author: Author) -> Answer[int]:
    """Remove it now."""

    def work(app: App, undertaking: Undertaking) -> str:
        janitor, removed = app.janitor("cleanup"), 0
        while chunk := janitor.purge():
            removed += chunk
            undertaking.look_up()
        with app.index.transaction():
            app.index.add_event(
                app.clock.now(), author.actor, "cleanup", reason=author.reason, after=f"{removed} removed"
            )
        return f"{removed} removed."

    return begin("Cleanup", author, work)


def backup_folder() -> str:
    """Where backups go unless somebody says otherwise: beside the spool."""
    return str(look_at(lambda loaded: loaded.settings.spool.parent).value or "")


def backup(folder: str, author: Author) -> Answer[int]:
    """Copy the index, consistent, into a folder of this host. The name is ours, so nothing is ever overwritten."""

    def work(app: App, undertaking: Undertaking) -> str:
        file = Path(folder.strip()) / f"index-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(app.clock.now()))}.db"
        if not file.is_absolute():
            raise Refused(f"{folder!r} is no absolute path.")
        back_up(app.index, file)
        with app.index.transaction():
            app.index.add_event(app.clock.now(), author.actor, "backup", reason=author.reason, after=str(file))
        return f"The index is copied to {file}."

    return begin("Back up the index", author, work)


def settings() -> Answer[list[dict[str, str]]]:
    """Every setting with its value and where that came from."""
    return look_at(lambda loaded: rows(in_force(loaded)))


# -------------------------------------------------------------------- users


def users() -> Answer[list[User]]:
    """Who may sign in."""
    return look_at(lambda loaded: Users(loaded.settings.spool).all(time.time()))


def set_password(name: str, password: str, author: Author) -> Answer[bool]:
    """Let somebody sign in by this password."""
    answer = look_at(lambda loaded: Users(loaded.settings.spool).set_password(name.strip(), password, time.time()))
    if answer.value is not None:
        noted(author.actor, "set password", after=name.strip(), reason=author.reason)
    return answer


def remove_user(name: str, author: Author) -> Answer[int]:
    """Let somebody sign in no more."""

    def work(app: App, undertaking: Undertaking) -> str:
        Users(app.settings.spool).remove(name)
        with app.index.transaction():
            app.index.add_event(app.clock.now(), author.actor, "remove user", reason=author.reason, after=name)
        return f"{name} may sign in no more."

    return begin(f"Remove user {name}", author, work)


# -------------------------------------------------------------------- audit


def events(by: str, verb: str, since: str, below: str) -> Answer[list[Record]]:
    """A page of events, newest first."""

    def question(app: App) -> list[Record]:
        asked = Question(by or None, verb or None, None, None, instant(since or None, app.clock.now()), None)
        return Audit(app.index.engine).records(asked, int(below) if below.isdecimal() else None, EVENTS)

    return ask(question)


def verify() -> Answer[Findings]:
    """Whether the events are what was recorded."""
    return ask(lambda app: Audit(app.index.engine).verify())
