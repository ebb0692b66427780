"""What people do to queues: create, set, pause, resume, close, delete; and what keeps it through a rebuild.

What they want stands in the queue's row and, durably before that, in `meta/queue.<name>.json`. Both are written under
the index's write lock, so that of two people at once neither loses what the other did; the act's event is in the same
transaction. Processes see a change at their next turn.

`now` is an argument: Unix seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pqfs import naming
from pqfs.clock import iso
from pqfs.errors import PqfsError, QueueNotFound, Refused
from pqfs.index import Queue
from pqfs.index.queuerows import QueueRows
from pqfs.jobqueue import JobQueue
from pqfs.model import DEFAULT_QUEUE, State
from pqfs.modes import mend
from pqfs.terms import over, wishes_of

Change = Callable[[Queue], Queue]


class Queueing:
    """The queues of one spool, as people steer them."""

    def __init__(self, jobqueue: JobQueue) -> None:
        self._jobqueue = jobqueue
        self._spool = jobqueue.spool
        self._index = jobqueue.index
        self._rows = QueueRows(jobqueue.index.engine)
        self._settings = jobqueue.settings

    def queue(self, name: str) -> Queue:
        """A queue's row.

        Raises:
            QueueNotFound: there is none of this name.
        """
        rows = {row.name: row for row in self._index.queues()}
        if name not in rows:
            raise QueueNotFound(name, sorted(rows))
        return rows[name]

    # ---------------------------------------------------------------- acts

    def create(self, name: str, wishes: Mapping[str, Any], actor: str, reason: str | None, now: float) -> Queue:
        """Make a queue, with a directory where its producers drop files.

        Raises:
            Refused: it is there already, or its name can not be one.
            Misconfigured: what is wished of it can not be.
        """
        naming.check_queue(name)
        over(self._settings.queue(name), wishes, name)
        self._spool.make_directory(f"inbox/{name}")
        mend(self._settings, self._spool.path(f"inbox/{name}"), [name])
        # Crash here: a directory in the inbox that is no queue; the ingester removes it when it stays empty.
        with self._index.transaction():
            if not self._index.create_queue(name, now):
                raise Refused(f"There is a queue {name} already.", f"See: pqfs queue show {name}")
            return self._want(name, lambda row: replace(row, settings=_written(wishes)), "create", actor, reason, now)

    def set(
        self, name: str, wishes: Mapping[str, Any], unset: Iterable[str], actor: str, reason: str | None, now: float
    ) -> Queue:  # fmt: skip
        """Set these values over pqfs.toml, and take others back.

        Raises:
            QueueNotFound: there is no such queue.
            Refused: what is to be taken back was not set.
            Misconfigured: a value can not be.
        """
        with self._index.transaction():
            changed = self._want(name, lambda row: self._with(row, wishes, tuple(unset)), "set", actor, reason, now)
        self._jobqueue.ring()
        return changed

    def preview(self, name: str, wishes: Mapping[str, Any], unset: Iterable[str]) -> Queue:
        """What `set` would leave; the same errors."""
        return self._with(self.queue(name), wishes, tuple(unset))

    def _with(self, row: Queue, wishes: Mapping[str, Any], unset: tuple[str, ...]) -> Queue:
        before = wishes_of(row)
        for name in unset:
            if name not in before:
                raise Refused(f"{name} is not set for queue {row.name}.", f"See: pqfs queue show {row.name}")
        after = {name: value for name, value in {**before, **wishes}.items() if name not in unset}
        over(self._settings.queue(row.name), after, row.name)
        return replace(row, settings=_written(after))

    def pause(self, name: str, until: float | None, actor: str, reason: str | None, now: float) -> Queue:
        """Let nothing of a queue be claimed, until an instant or (None) until it is resumed. What runs goes on.

        Consumers give back what they have leased ahead.
        """

        def paused(row: Queue) -> Queue:
            return replace(row, paused_at=now, paused_by=actor, paused_reason=reason, paused_until=until)

        with self._index.transaction():
            changed = self._want(name, paused, "pause", actor, reason, now)
        self._jobqueue.ring()
        return changed

    def resume(self, name: str, actor: str, reason: str | None, now: float) -> Queue:
        """Let a paused queue be claimed from again, and one that was closed take files in.

        Raises:
            QueueNotFound: there is no such queue.
            Refused: it is neither paused nor closed.
        """

        def open_(row: Queue) -> Queue:
            wishes = wishes_of(row)
            if row.paused_at is None and "accepts" not in wishes:
                raise Refused(f"Queue {name} is neither paused nor closed.", f"See: pqfs queue show {name}")
            wishes.pop("accepts", None)
            return replace(_opened(row, now), settings=_written(wishes))

        with self._index.transaction():
            resumed = self._want(name, open_, "resume", actor, reason, now)
        self._jobqueue.ring()
        return resumed

    def close(self, name: str, actor: str, reason: str | None, now: float) -> Queue:
        """Take nothing in for a queue until it is resumed: files wait in the inbox. The start of a drain."""
        with self._index.transaction():
            return self._want(name, lambda row: self._with(row, {"accepts": False}, ()), "drain", actor, reason, now)

    def _want(self, name: str, change: Change, verb: str, actor: str, reason: str | None, now: float) -> Queue:
        """Change what is wanted of a queue: its note, its row, its event. Inside a transaction."""
        before = self.queue(name)
        after = change(before)
        self._spool.write_note(name, _note(after))
        # Crash here: the note says what the row does not; nobody was told, and only a rebuild would notice.
        self._rows.wish(after)
        self._index.add_event(
            now, actor, verb, queue=name, reason=reason, before=_told(before), after=_told(after)
        )  # fmt: skip
        return after

    # ---------------------------------------------------------------- the end of a queue

    def refuse_to_delete(self, name: str, even_if_full: bool = False) -> None:
        """Say why a queue can not be deleted; with `even_if_full` but for what is in it.

        Raises:
            QueueNotFound: there is no such queue.
            Refused: it is the default queue, stands in pqfs.toml, or is not empty.
        """
        self.queue(name)
        if name == DEFAULT_QUEUE:
            raise Refused("The default queue can not be deleted: files without a queue go there.")
        if name in self._settings.queues:
            raise Refused(
                f"Queue {name} has a section in pqfs.toml, so it would be made again at the next start.",
                "Remove the section first.",
            )
        if even_if_full:
            return
        if left := self.left(name):
            said = ", ".join(f"{count} {state}" for state, count in left.items())
            raise Refused(
                f"Queue {name} is not empty: {said}.",
                f"Work it off (--drain) or delete its jobs (--purge). See: pqfs jobs list -q {name}",
            )
        if files := sum(1 for _ in self._spool.listing(f"inbox/{name}")):
            raise Refused(f"Files wait in inbox/{name}: {files}.", "Let them be taken in, or remove them.")

    def left(self, name: str) -> dict[State, int]:
        """The jobs of a queue that are not completed: those that run, wait, or could come back."""
        return {
            state: count
            for queue, state, count in self._index.counts()
            if queue == name and state is not State.COMPLETED
        }

    def delete(self, name: str, actor: str, reason: str | None, now: float) -> None:
        """Forget an empty queue: its row, then its note, then its directory. Outputs and their rows stay.

        Raises:
            QueueNotFound: there is no such queue.
            Refused: it can not be, or something has come into it meanwhile.
        """
        self.refuse_to_delete(name)
        with self._index.transaction():
            before = self.queue(name)
            if not self._rows.delete(name):
                raise Refused(f"A job has come into queue {name} meanwhile.", f"See: pqfs jobs list -q {name}")
            self._index.add_event(now, actor, "delete queue", queue=name, reason=reason, before=_told(before))
        # Crash here: the note of a queue that is no more; recovery removes it after an hour, the ingester its folder.
        self._spool.remove(naming.note_path(name))
        self._spool.remove_directory(f"inbox/{name}")

    # ---------------------------------------------------------------- by itself

    def look(self, now: float) -> None:
        """What the janitor sees to: pauses whose time is over, and queues that were deleted a moment too early."""
        for row in self._jobqueue.terms.look():
            if row.paused_at is not None and not row.is_paused(now):
                self._end_pause(row, now)
        for name in self._rows.lost():
            # Race: a file of its was taken while the queue was being deleted; nobody else would ever claim the job.
            with self._index.transaction():
                if self._index.create_queue(name, now):
                    self._index.add_event(now, "janitor", "create", queue=name, reason="jobs are in it")

    def _end_pause(self, row: Queue, now: float) -> None:
        def open_(found: Queue) -> Queue:
            return found if found.is_paused(now) else _opened(found, now)

        with self._index.transaction():
            self._want(row.name, open_, "resume", "janitor", "its time is over", now)

    def restore(self, now: float, believe: bool = False) -> int:
        """Make the rows again that only the notes tell of; with `believe` the notes also where a row differs."""
        restored = 0
        for name, note in self._notes():
            with self._index.transaction():
                is_new = self._index.create_queue(name, now)
                if is_new or believe or _is_unsaid(self.queue(name)):
                    restored += self._rows.wish(_from_note(self.queue(name), note))
        return restored

    def _notes(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for entry, _ in list(self._spool.listing("meta")):
            if name := naming.parse_note(entry):
                yield name, self._spool.read_note(name)


def _opened(row: Queue, since: float | None) -> Queue:
    """The row of a queue that is not paused any more."""
    return replace(row, paused_at=None, paused_by=None, paused_reason=None, paused_until=since)


def _is_unsaid(row: Queue) -> bool:
    return row.settings is None and row.paused_at is None


def _written(wishes: Mapping[str, Any]) -> str | None:
    return json.dumps(dict(wishes), sort_keys=True) if wishes else None


def _note(row: Queue) -> dict[str, Any]:
    """What a queue's note says."""
    note: dict[str, Any] = {"settings": wishes_of(row)}
    if row.paused_at is not None:
        note["paused"] = {
            "at": row.paused_at, "by": row.paused_by, "reason": row.paused_reason, "until": row.paused_until,
        }  # fmt: skip
    return note


def _from_note(row: Queue, note: Mapping[str, Any]) -> Queue:
    """A row as its note tells it; what makes no sense in a note is left out."""
    settings, paused = note.get("settings"), note.get("paused")
    row = replace(_opened(row, None), settings=_written(settings) if isinstance(settings, dict) else None)
    if not isinstance(paused, dict) or not isinstance(paused.get("at"), int | float):
        return row
    until, by, reason = paused.get("until"), paused.get("by"), paused.get("reason")
    return replace(
        row,
        paused_at=float(paused["at"]),
        paused_by=by if isinstance(by, str) else None,
        paused_reason=reason if isinstance(reason, str) else None,
        paused_until=float(until) if isinstance(until, int | float) else None,
    )


def _told(row: Queue) -> str:
    """What is wanted of a queue, as the audit tells it."""
    note = _note(row)
    if paused := note.get("paused"):
        note["paused"] = {
            **paused,
            "at": iso(paused["at"]),
            "until": iso(paused["until"]) if paused["until"] else None,
        }
    return json.dumps(note, sort_keys=True)


def purge(jobqueue: JobQueue, job: str, actor: str, reason: str | None, now: float) -> bool:
    """Withdraw a waiting job and forget it. False: it does not wait any more, or is on the move.

    Two acts, each whole: a crash between them leaves a cancelled job, which may be deleted or let run after all.
    """
    found = jobqueue.job(job)
    if found.state not in (State.PENDING, State.HELD):
        return False
    withdrawn = jobqueue.cancel(found, actor, reason, now)
    again = jobqueue.index.job(withdrawn.id)
    if again is None:
        raise PqfsError(f"Job {job} was deleted by somebody else.")
    return jobqueue.delete(again, actor, reason, now)
