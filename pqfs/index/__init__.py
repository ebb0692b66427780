"""The index: who holds a job and what became of it. The contract that both engines keep.

`Index` speaks in jobs, attempts and verdicts; an `Engine` runs the named statements of statements.sql on
SQLite or PostgreSQL. Writes happen inside `with index.transaction():` and nowhere else, so that the caller
decides what is one commit. A write that finds its guard unfulfilled changes nothing and says so by what it
returns: no row back means that the lease is lost or the state has changed.

The index knows no files. It never decides order between a commit and a rename: jobqueue does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pqfs.clock import Clock
from pqfs.fingerprint import fingerprint
from pqfs.index.chain import link
from pqfs.model import DEAD, Arrival, Attempt, Job, Outcome, Place, State
from pqfs.naming import id_floor
from pqfs.retry import Budget

Row = Sequence[Any]
Roster = Mapping[str, tuple[str, ...] | None]  # a consumer that is to run -> the queues that it serves; None: all
Parameters = Mapping[str, Any]


class Engine(Protocol):
    """What a database must offer. Errors come out as pqfs errors (Unavailable, DiskFull, Corrupt)."""

    def transaction(self, lasting: bool = True) -> AbstractContextManager[None]:
        """One write transaction: committed at the end, rolled back when the block raises.

        One that is not `lasting` may be taken back by a loss of power, with all that is not lasting after it, until
        a lasting one has followed.
        """

    def run(self, name: str, parameters: Parameters) -> list[Row]:
        """Run a named statement and return its rows."""

    def run_many(self, name: str, parameters: Iterable[Parameters]) -> list[Row]:
        """Run a named statement once for each set of parameters and return all rows."""

    def checkpoint(self) -> tuple[int, int]:
        """Move the log into the database; pages in the log and pages moved."""

    def bulk(self) -> AbstractContextManager[None]:
        """Many commits that are durable together, at the end: nobody else may use the index meanwhile."""

    def backup(self, target: str) -> None:
        """Copy the database, consistent, while it is in use."""

    def schema_version(self) -> int:
        """The number of the newest migration that was applied."""

    def bytes(self) -> int:
        """How much room the database takes, without its log."""

    def refuse_other_schema(self) -> None:
        """Refuse a schema that is not ours. Raises SchemaTooNew; Unavailable of an older one."""

    def integrity(self, is_over: Callable[[], bool] = lambda: False) -> list[str]:
        """What the database says is wrong with itself; empty when nothing is, or when `is_over` says to stop."""

    def leads(self, duty: str, host: str | None) -> bool:
        """Whether this connection has, or gets, a duty that one of all hosts has at a time, while it lives.

        What others see held is `led_by(duty, host)`.
        """

    def hold(self, name: str) -> None:
        """Hold a name for as long as this connection lives, and again whenever it is made anew."""

    def held(self) -> Callable[[str], bool]:
        """Whose names are held just now, by any connection: to be asked of names."""

    def keep(self) -> bool:
        """Make the connection anew if it was lost; whether it was, since the last time that this was asked."""

    def connections(self) -> int:
        """How often it has been made after a failure: what was seen over an earlier one may have changed unseen."""

    def remarks(self) -> list[str]:
        """What a person should know of how this database stands, in sentences."""

    def clock(self) -> Clock:
        """The clock of leases and due times: the same for all that use the index."""

    def close(self) -> None:
        """Close the connection."""


def led_by(duty: str, host: str | None) -> str:
    """The name that is held by the host that has a duty."""
    return f"{duty} of {host}"


@dataclass(frozen=True, slots=True)
class Completion:
    """A completed attempt as the index records it."""

    job: Job
    place: Place
    output: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a job whose attempt did not complete, or that a person steers."""

    job: Job
    state: State
    budget: Budget
    ready_at: float | None  # None: as it is, whatever somebody made of it meanwhile; only when a person steers
    error: str | None

    @property
    def place(self) -> Place:
        """Where the payload belongs after it."""
        return _PLACE_OF[self.state]


_PLACE_OF = {
    State.PENDING: Place.READY,
    State.HELD: Place.READY,
    State.FAILED: Place.DEAD,
    State.UNPROCESSABLE: Place.DEAD,
    State.CANCELLED: Place.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer's row. `queues` None means all; `beat_boottime` counts from the boot named by `boot_id`."""

    owner: str
    program: str
    pid: int
    host: str
    boot_id: str
    queues: tuple[str, ...] | None
    started_at: float
    beat_at: float
    beat_boottime: float
    lease: float
    completed: int


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue's row. `settings`: what people set over pqfs.toml, as JSON; `paused_until` None: until resumed."""

    name: str
    created_at: float
    paused_at: float | None = None
    paused_by: str | None = None
    paused_reason: str | None = None
    paused_until: float | None = None
    settings: str | None = None

    def open_since(self, now: float) -> float:
        """When its last pause ended; 0 when it never was paused."""
        return self.paused_until or 0.0 if not self.is_paused(now) else now

    def is_paused(self, now: float) -> bool:
        """Whether nothing of it may be claimed: somebody paused it, and the time of that is not over."""
        return self.paused_at is not None and (self.paused_until is None or now < self.paused_until)


class Candidate(NamedTuple):
    """A job that can be claimed, as far as the order of claims asks."""

    priority: int
    ready_at: float
    id: str
    queue: str


@dataclass(frozen=True, slots=True)
class Event:
    """Who did what to a job, when and why."""

    at: float
    actor: str
    verb: str
    reason: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody is about to do, as the audit will tell it. `before` and `after`: states, ids or words."""

    actor: str
    verb: str
    job: str | None = None
    queue: str | None = None
    reason: str | None = None
    before: str | None = None
    after: str | None = None


class Index:
    """The verbs of the index. Write verbs must run inside `transaction()`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def transaction(self, lasting: bool = True) -> AbstractContextManager[None]:
        """One write transaction; not `lasting`: a loss of power may take it back until a lasting one has followed."""
        return self.engine.transaction(lasting)

    # ---------------------------------------------------------------- arrival

    def insert(self, arrivals: Iterable[Arrival], arriver: str, now: float) -> None:
        """Record accepted files as jobs. A job that is there already stays as it is."""
        self.engine.run_many("insert_job", [_arrival_row(each, arriver, now) for each in arrivals])

    def restore(self, job: Job) -> None:
        """Record a job as the tree tells it (adoption of old payloads, rebuild)."""
        self.restore_all([job])

    def restore_all(self, jobs: Iterable[Job]) -> None:
        """Record jobs as the tree tells them. A job that is there already stays as it is."""
        self.engine.run_many("restore_job", map(_job_row, jobs))

    # ---------------------------------------------------------------- attempts

    def wake_due(self, now: float) -> None:
        """Make the delayed jobs claimable whose time has come."""
        self.engine.run("wake_due", {"now": now})

    def claimable(self, queue: str, limit: int) -> list[Candidate]:
        """The jobs of a queue that are next, in order of priority, ready_at and id."""
        return [Candidate._make(row) for row in self.engine.run("claimable", {"queue": queue, "limit": limit})]

    def claimable_assigned(self, owner: str, queues: Sequence[str], limit: int) -> list[Candidate]:
        """The same of what is for this owner's program alone, of all these queues together."""
        row = {"program": program_of(owner), "list": json.dumps(list(queues)), "limit": limit}
        return [Candidate._make(found) for found in self.engine.run("claimable_assigned", row)]

    def lease(self, jobs: Iterable[str], owner: str, now: float) -> list[Job]:
        """Lease these jobs, in this order, as far as they still can be claimed."""
        wanted = [{"id": job, "owner": owner, "now": now} for job in jobs]
        return [_job(row) for row in self.engine.run_many("claim", wanted)]

    def complete(self, completions: Iterable[Completion], now: float) -> set[str]:
        """Commit these attempts' outputs; the ids of the jobs whose lease still held."""
        rows = (
            {
                "id": each.job.id, "attempt": each.job.attempt, "owner": each.job.owner, "place": each.place,
                "now": now, "output": each.output, "output_size": each.outcome.output_size,
                "output_sha256": each.outcome.output_sha256,
            }
            for each in completions
        )  # fmt: skip
        return {row[0] for row in self.engine.run_many("complete", rows)}

    def settle(self, settlement: Settlement, now: float) -> Job | None:
        """End an attempt that did not complete. None: its lease is lost and nothing has changed."""
        return _first(self.engine.run("settle", _settlement_row(settlement, now)))

    def steer(self, settlement: Settlement, now: float) -> Job | None:
        """Move a job that nobody runs to another state. None: its state has changed meanwhile."""
        row = {**_settlement_row(settlement, now), "from_state": settlement.job.state}
        del row["owner"]
        del row["due"]
        return _first(self.engine.run("steer", row))

    def confirm(self, jobs: Iterable[Job]) -> set[str]:
        """Note that these payloads are where their rows say; the ids of those whose rows had not changed since."""
        rows = ({"id": job.id, "attempt": job.attempt, "state": job.state, "place": job.place} for job in jobs)
        return {row[0] for row in self.engine.run_many("confirm", rows)}

    def record(self, job: Job, outcome: Outcome, now: float) -> None:
        """Add an attempt that did not complete its job to the history, and to the count of those that end so."""
        self.record_all([(job, outcome)], now)
        self.engine.run("count_outcome", {"queue": job.queue, "outcome": outcome.kind})

    def record_all(self, ended: Sequence[tuple[Job, Outcome]], now: float) -> None:
        """Add attempts to the history of their jobs, and what ran them where that is told."""
        rows = [_attempt_row(job, outcome, now) for job, outcome in ended]
        self.engine.run_many("insert_attempt", rows)
        if told := {outcome.handler for _, outcome in ended if outcome.handler}:
            self.engine.run_many("insert_handler", [{"id": _number(text), "text": text} for text in sorted(told)])

    # ---------------------------------------------------------------- steering

    def plan(self, job: Job, wanted: Mapping[str, float], now: float) -> Job | None:
        """Give a waiting or held job the `priority` or `ready_at` that is wanted. None: its row has changed."""
        row = {"id": job.id, "state": job.state, "attempt": job.attempt, "now": now}
        return _first(self.engine.run("plan", {**row, "priority": None, "ready_at": None, **wanted}))

    def assign(self, job: Job, program: str | None) -> Job | None:
        """Let one program alone claim a waiting or held job, or (None) all again. None: its row has changed."""
        row = {"id": job.id, "attempt": job.attempt, "before": job.assigned_to, "program": program}
        return _first(self.engine.run("assign", row))

    def assignments(self) -> list[tuple[str, str]]:
        """Program and queue of the waiting jobs that one program alone may claim."""
        return [(row[0], row[1]) for row in self.engine.run("assignments", {})]

    def assigned(self, program: str, queue: str, limit: int) -> list[Job]:
        """Waiting jobs of a queue that this program alone may claim."""
        row = {"program": program, "queue": queue, "limit": limit}
        return [_job(found) for found in self.engine.run("assigned", row)]

    def request_cancel(self, job: str, by: str) -> int | None:
        """Ask the consumer that runs a job to end it: the attempt that is asked; None when nobody runs it."""
        found = self.engine.run("request_cancel", {"id": job, "by": by})
        return int(found[0][0]) if found else None

    def cancels_for(self, owner: str) -> dict[tuple[str, int], str]:
        """The attempts of an owner that somebody wants ended: (job, attempt) -> who."""
        return {(row[0], row[1]): row[2] for row in self.engine.run("cancels_for", {"owner": owner})}

    def add_event(
        self, now: float, actor: str, verb: str, *, job: str | None = None, queue: str | None = None,
        reason: str | None = None, before: str | None = None, after: str | None = None,
    ) -> None:  # fmt: skip
        """Record who did what, and why: the next link of the audit's chain."""
        head, last = self.engine.run("chain", {})[0][3:]
        row = {"id": head + 1, "at": now, "actor": actor, "verb": verb, "job": job, "queue": queue, "reason": reason}
        row |= {"before": before, "after": after}
        row["hash"] = link(last, row)
        self.engine.run("insert_event", row)
        self.engine.run("move_head", {"id": row["id"], "hash": row["hash"]})

    def note(self, acts: Iterable[Act], now: float) -> None:
        """Record each of these acts, in the transaction that carries them out."""
        for act in acts:
            self.add_event(
                now, act.actor, act.verb, job=act.job, queue=act.queue, reason=act.reason, before=act.before,
                after=act.after,
            )  # fmt: skip

    # ---------------------------------------------------------------- questions

    def job(self, job: str) -> Job | None:
        """A job by its whole id."""
        return _first(self.engine.run("job", {"id": job}))

    def jobs_like(self, prefix: str, limit: int = 10) -> list[Job]:
        """Jobs whose id begins so."""
        row = {"low": prefix, "high": f"{prefix}g", "limit": limit}
        return [_job(found) for found in self.engine.run("jobs_like", row)]

    def job_by_output(self, output: str) -> Job | None:
        """The job that published an output of this name."""
        return _first(self.engine.run("job_by_output", {"output": output}))

    def job_by_name(self, queue: str | None, name: bytes, since: float) -> Job | None:
        """The newest job of this name that arrived since an instant, in one queue or (None) in any."""
        row = {"low": id_floor(since), "queue": queue, "name": name}
        return _first(self.engine.run("late_job_by_name", row)) or _first(self.engine.run("job_by_name", row))

    def jobs_after(self, job: str, limit: int) -> list[Job]:
        """The next jobs in order of id, for walks over the whole index in bounded chunks."""
        return [_job(row) for row in self.engine.run("jobs_after", {"after": job, "limit": limit})]

    def jobs(self, state: State | None, queue: str | None, before: str, limit: int) -> list[Job]:
        """Jobs older than an id, newest first; the states that are few have an index of their own."""
        row = {"state": state, "queue": queue, "before": before, "limit": limit}
        name = "list_jobs"
        if state is State.PROCESSING:
            name = "list_processing"
            del row["state"]
        elif state in (State.HELD, State.FAILED, State.UNPROCESSABLE, State.CANCELLED):
            name = "list_set_aside"
        return [_job(found) for found in self.engine.run(name, row)]

    def alike(self, job: Job, limit: int = 10_001) -> int:
        """How many dead letters of a queue have an error like this one's, counted up to a limit."""
        row = {"fingerprint": job.fingerprint, "queue": job.queue, "limit": limit}
        return int(self.engine.run("dead_alike", row)[0][0])

    def select(self, name: str, parameters: Parameters) -> list[Job]:
        """The jobs that a named statement selects (see `filters`)."""
        return [_job(row) for row in self.engine.run(name, parameters)]

    def jobs_ahead(self, job: Job, limit: int) -> int:
        """How many due jobs of its queue come before a job, counted up to `limit`."""
        row = {"queue": job.queue, "priority": job.priority, "ready_at": job.ready_at, "id": job.id}
        return int(self.engine.run("jobs_ahead", {**row, "limit": limit})[0][0])

    def levels(self, queue: str) -> list[tuple[int, float]]:
        """The priorities of a queue's due jobs, highest first, and since when the longest waiting of each is due."""
        return [(row[0], row[1]) for row in self.engine.run("levels", {"queue": queue})]

    def oldest_due(self, queue: str) -> float | None:
        """Since when the longest waiting job of a queue has been due; None when none is."""
        return min((since for _, since in self.levels(queue)), default=None)

    def head(self, queue: str) -> Job | None:
        """The job of a queue that is to be claimed next; None when none can be claimed."""
        return _first(self.engine.run("head", {"queue": queue}))

    def overslept(self, now: float) -> Job | None:
        """The job whose time came first and that no claim has woken since; None when there is none."""
        return _first(self.engine.run("overslept", {"now": now}))

    def waiting_bytes(self, queue: str) -> int:
        """The bytes of a queue's waiting and held jobs. As much work as there are such jobs."""
        return int(self.engine.run("waiting_bytes", {"queue": queue})[0][0])

    def next_wake(self) -> float | None:
        """When the next waiting job becomes due."""
        found: float | None = self.engine.run("next_wake", {})[0][0]
        return found

    def attempts(self, job: str) -> list[Attempt]:
        """A job's history, oldest first."""
        return [Attempt(*row) for row in self.engine.run("attempts_of", {"job": job})]

    def events(self, job: str) -> list[Event]:
        """What people and incidents did to a job, oldest first."""
        return [Event(*row) for row in self.engine.run("events_of", {"job": job})]

    def counts(self) -> list[tuple[str, State, int]]:
        """Queue, state and number of jobs, where there are any."""
        return [(row[0], State(row[1]), row[2]) for row in self.engine.run("counts", {})]

    # ---------------------------------------------------------------- identity

    def identity(self) -> tuple[str, int] | None:
        """The mark of the spool whose index this is, and its era; None in an index that is still being made."""
        rows = self.engine.run("identity", {})
        return (rows[0][0], rows[0][1]) if rows else None

    def identify(self, spool: str, era: int) -> None:
        """Mark this index as that spool's, of that era."""
        self.engine.run("identify", {"spool": spool, "era": era})

    def disown(self) -> None:
        """Take that mark away: an index without one is not taken for the whole truth."""
        self.engine.run("disown", {})

    # ---------------------------------------------------------------- recovery

    def amend(self, job: Job, told: Job) -> bool:
        """Believe the tree, which tells that a waiting job was completed; False when its row has changed."""
        row = {"id": job.id, "state": job.state, "attempt": job.attempt, "error": told.error}
        return bool(self.engine.run("amend", {**row, "output": told.output, "updated_at": told.updated_at}))

    def unconfirmed(self, limit: int) -> list[Job]:
        """Jobs whose payload may not be where their row says."""
        return [_job(row) for row in self.engine.run("unconfirmed", {"limit": limit})]

    def unconfirmed_of(self, owner: str) -> list[Job]:
        """The same, of one owner: what it ran or had not put away."""
        return [_job(row) for row in self.engine.run("unconfirmed_of", {"owner": owner})]

    def owners_at_work(self) -> list[str]:
        """Owners that hold jobs, or have payloads to put away."""
        return [row[0] for row in self.engine.run("owners_at_work", {})]

    # ---------------------------------------------------------------- consumers, queues

    def register(self, consumer: Consumer) -> None:
        """Add a consumer's row, before its first claim."""
        row = {name: getattr(consumer, name) for name in ("owner", "program", "pid", "host", "boot_id", "lease")}
        queues = None if consumer.queues is None else json.dumps(consumer.queues)
        row |= {"queues": queues, "now": consumer.started_at, "boottime": consumer.beat_boottime}
        self.engine.run("register_consumer", row)

    def beat(self, owner: str, now: float, boottime: float, completed: int) -> bool:
        """Renew an owner's lease on all that it holds. False: it was declared dead, its jobs are others'."""
        row = {"owner": owner, "now": now, "boottime": boottime, "completed": completed}
        return bool(self.engine.run("beat", row))

    def consumers(self) -> list[Consumer]:
        """Every consumer that has registered and was not reaped."""
        rows = self.engine.run("consumers", {})
        return [
            Consumer(**{**dict(zip(Consumer.__slots__, row, strict=True)), "queues": _list(row[5])}) for row in rows
        ]

    def forget_consumer(self, owner: str) -> None:
        """Remove a consumer's row, after its jobs have been given to others."""
        self.engine.run("forget_consumer", {"owner": owner})

    def roster(self) -> Roster | None:
        """Which consumers a person wants to run; None where nobody has said so: the settings decide."""
        rows = self.engine.run("roster", {})
        if not rows:
            return None
        found: dict[str, list[str] | None] = json.loads(rows[0][0])
        return {name: None if queues is None else tuple(queues) for name, queues in found.items()}

    def write_roster(self, roster: Roster | None) -> None:
        """Note which consumers are to run; None: as many as the settings say."""
        if roster is None:
            self.engine.run("forget_roster", {})
        else:
            self.engine.run("write_roster", {"slots": json.dumps(dict(sorted(roster.items())))})

    def queues(self) -> list[Queue]:
        """Every queue."""
        return [Queue(*row) for row in self.engine.run("queues", {})]

    def create_queue(self, name: str, now: float) -> bool:
        """Make a queue; False when it is there already."""
        return bool(self.engine.run("create_queue", {"name": name, "now": now}))

    # ---------------------------------------------------------------- statistics, retention

    def add_stats(
        self, queue: str, now: float, *, ingested: int = 0, completed: int = 0, failed: int = 0,
        size: int = 0, run_seconds: float = 0.0,
    ) -> None:  # fmt: skip
        """Add to a queue's figures of this minute."""
        row = {"minute": int(now // 60), "queue": queue, "ingested": ingested, "completed": completed}
        self.engine.run("add_stats", {**row, "failed": failed, "bytes": size, "run_seconds": run_seconds})

    def stats(self, since: float) -> list[Row]:
        """minute, ingested, completed, failed, bytes, run_seconds for each minute since an instant."""
        return self.engine.run("stats_since", {"minute": int(since // 60)})

    def ingested_since(self, queue: str, since: float) -> int:
        """How many jobs a queue has got in the minutes since an instant."""
        return int(self.engine.run("ingested_since", {"minute": int(since // 60), "queue": queue})[0][0])

    def forget_stats(self, before: float) -> None:
        """Drop the figures of minutes before an instant; their sums stay."""
        self.engine.run("keep_totals", {"minute": int(before // 60)})
        self.engine.run("forget_stats", {"minute": int(before // 60)})

    def ended_before(
        self, state: State, before: float, limit: int, queue: str | None = None, without: Collection[str] = ()
    ) -> list[Job]:
        """Jobs in a final state since before an instant; completed ones only when their input is gone.

        Of one queue, or of all but some: then other rows are passed by.
        """
        names = ("set_aside_before", "set_aside_before_in")
        if state is State.COMPLETED:
            names = ("completed_before", "completed_before_in")
        row: dict[str, Any] = {"high": id_floor(before), "before": before, "limit": limit}
        if state is not State.COMPLETED:
            row["state"] = state
        if queue or without:
            row |= {"queue": queue, "list": json.dumps(sorted(without))}
        return self.select(names[bool(queue or without)], row)

    def let_go(self, job: str) -> bool:
        """Note that an ended job's payload is about to be removed. False: it has not ended, or is on the move."""
        return bool(self.engine.run("let_go", {"id": job}))

    def confirm_gone(self, job: str) -> None:
        """Note that it was removed."""
        self.engine.run("confirm_gone", {"id": job})

    def delete(self, job: Job) -> bool:
        """Forget a job with its attempts; False when its state has changed or its payload is on the move.

        Its events stay: they are the audit's.
        """
        if not self.engine.run("delete_job", {"id": job.id, "state": job.state}):
            return False
        self.engine.run("delete_attempts", {"job": job.id})
        return True

    def close(self) -> None:
        """Close the connection."""
        self.engine.close()


def _job(row: Row) -> Job:
    values = list(row)
    values[4], values[5], values[6] = State(values[4]), Place(values[5]), bool(values[6])
    if values[21] is not None:
        values[21] = json.loads(values[21])
    return Job(*values)


def program_of(owner: str) -> str:
    """The program (consumer-03) under whose name an owner runs; it outlives each start of it."""
    return owner.partition(".")[0]


def _first(rows: list[Row]) -> Job | None:
    return _job(rows[0]) if rows else None


def _list(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


def _options(options: Mapping[str, Any] | None) -> str | None:
    return json.dumps(options, sort_keys=True) if options else None


def _arrival_row(each: Arrival, arriver: str, now: float) -> Parameters:
    ready_at = max(each.ready_at, 0.0) or now
    return {
        "id": each.id, "queue": each.queue, "name": each.name, "arriver": arriver, "error": None,
        "state": State.HELD if each.held else State.PENDING, "due": int(ready_at <= now),
        "priority": each.priority, "size": each.size, "created_at": now, "ready_at": ready_at,
        "options": _options(each.options), "origin": _origin(each.options),
    }  # fmt: skip


def _origin(options: Mapping[str, Any] | None) -> str | None:
    """The job that one is made of. It stands in the options, so that a rebuild knows it, too."""
    found = (options or {}).get("origin")
    return found if isinstance(found, str) else None


def _job_row(job: Job) -> Parameters:
    names = (
        "id", "queue", "name", "arriver", "state", "place", "priority", "attempt", "size", "created_at",
        "ready_at", "updated_at", "output", "error", "assigned_to",
    )  # fmt: skip
    row = {name: getattr(job, name) for name in names}
    row |= {
        "options": _options(job.options),
        "origin": _origin(job.options),
        "fingerprint": mark(job.state, job.error),
    }
    return {**row, "confirmed": int(job.confirmed), "due": 0}


def mark(state: State, error: str | None) -> str | None:
    """The fingerprint that a job's row has: of its error, when it is a dead letter."""
    return fingerprint(error) if state in DEAD else None


def _settlement_row(each: Settlement, now: float) -> dict[str, Any]:
    return {
        "id": each.job.id, "attempt": each.job.attempt, "owner": each.job.owner, "state": each.state,
        "place": each.place, "due": int((each.ready_at or 0.0) <= now), "ready_at": each.ready_at,
        "failures": each.budget.failures, "crashes": each.budget.crashes, "losses": each.budget.losses,
        "error": each.error, "now": now, "fingerprint": mark(each.state, each.error),
    }  # fmt: skip


def _attempt_row(job: Job, outcome: Outcome, now: float) -> Parameters:
    used = outcome.used
    return {
        "job": job.id, "attempt": job.attempt, "owner": job.owner, "started_at": outcome.started_at,
        "ended_at": now, "run_seconds": outcome.run_seconds, "outcome": outcome.kind, "error": outcome.error,
        "exit_code": outcome.exit_code, "log": outcome.log,
        "handler": _number(outcome.handler) if outcome.handler else None,
        "user_seconds": used.user_seconds if used else None, "system_seconds": used.system_seconds if used else None,
        "peak_bytes": used.peak_bytes if used else None,
    }  # fmt: skip


def _number(text: str) -> int:
    """What a handler's description is called in the rows of its attempts: made of it, so that nobody has to ask."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()[:5])


def walk(index: Index, chunk: int = 1000) -> Iterator[Job]:
    """Every job in order of id, read in short transactions so that no reader holds the log back."""
    last = ""
    while jobs := index.jobs_after(last, chunk):
        yield from jobs
        last = jobs[-1].id
