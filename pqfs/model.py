"""What a job is, which states it can be in, and the only moves between them.

This module touches no disk, no database and no clock. Everything that must agree about states reads
TRANSITIONS: the guards in index/statements.sql, the table in spool/README.md, the words of the command line,
the badges of the console and the random walks of the tests.

                    claim                    complete
    ingest --> PENDING -----> PROCESSING ----------------> COMPLETED
               ^  ^ | ^          | | |
        release|  | | '----------' | | crash (max_crashes)
               |  | |   release,   | '-------------------> UNPROCESSABLE --.
          HELD-'  | |   fail,      | fail (max_failures,                   |
            ^     | |   crash      |       permanent)                      |
            '-----' |              '---------------------> FAILED ---------+
              hold  |                                        |             |
                    '------ cancel ----> CANCELLED           |             |
                                            |                |             |
             PENDING <----------------------+---- redrive ---+-------------'

A person may also fail a pending job, cancel or fail a held one, and cancel one that runs. Waiting is not a state: a
delayed, scheduled or retrying job is PENDING with `ready_at` in the future.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

DEFAULT_QUEUE = "default"

# What may be asked of a job, by whoever brings it.
PRIORITY_LIMIT = 1000  # from minus this to this
FURTHEST = 3653 * 86400.0  # seconds that it may be made to wait: ten years
LONGEST_KEY = 200  # characters
LONGEST_RUN = 365 * 86400.0  # seconds that an attempt may be allowed


def check_priority(priority: int) -> None:
    """Refuse a priority out of bounds.

    Raises:
        ValueError: what is possible, in words.
    """
    if not -PRIORITY_LIMIT <= priority <= PRIORITY_LIMIT:
        raise ValueError(f"A priority must lie between -{PRIORITY_LIMIT} and {PRIORITY_LIMIT}")


def check_ready_at(instant: float, now: float) -> None:
    """Refuse an instant for which no job can be scheduled.

    Raises:
        ValueError: what is possible, in words.
    """
    if not 0.0 <= instant <= now + FURTHEST:
        raise ValueError("A job can be scheduled between 1970 and ten years from now")


def check_key(key: str | None) -> None:
    """Refuse an idempotency key that is none.

    Raises:
        ValueError: what is possible, in words.
    """
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise ValueError(f"A key must have 1 to {LONGEST_KEY} characters")


class State(StrEnum):
    """What became of a job so far."""

    PENDING = "pending"
    HELD = "held"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    UNPROCESSABLE = "unprocessable"
    CANCELLED = "cancelled"


class Place(StrEnum):
    """Where a payload belongs. The value is the directory's name, but for GONE."""

    READY = "ready"
    CLAIMED = "claimed"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"
    GONE = "gone"


class Verb(StrEnum):
    """What can be done to a job."""

    CLAIM = "claim"
    COMPLETE = "complete"
    FAIL = "fail"
    CRASH = "crash"
    RELEASE = "release"
    HOLD = "hold"
    CANCEL = "cancel"
    REDRIVE = "redrive"


FINAL = frozenset({State.COMPLETED, State.FAILED, State.UNPROCESSABLE, State.CANCELLED})
DEAD = frozenset({State.FAILED, State.UNPROCESSABLE})

TRANSITIONS: dict[tuple[State, Verb], tuple[State, ...]] = {
    (State.PENDING, Verb.CLAIM): (State.PROCESSING,),
    (State.PENDING, Verb.HOLD): (State.HELD,),
    (State.PENDING, Verb.CANCEL): (State.CANCELLED,),
    (State.PENDING, Verb.FAIL): (State.FAILED,),
    (State.HELD, Verb.RELEASE): (State.PENDING,),
    (State.HELD, Verb.CANCEL): (State.CANCELLED,),
    (State.HELD, Verb.FAIL): (State.FAILED,),
    (State.PROCESSING, Verb.COMPLETE): (State.COMPLETED,),
    (State.PROCESSING, Verb.FAIL): (State.PENDING, State.FAILED),
    (State.PROCESSING, Verb.CRASH): (State.PENDING, State.UNPROCESSABLE),
    (State.PROCESSING, Verb.RELEASE): (State.PENDING, State.FAILED),
    (State.PROCESSING, Verb.CANCEL): (State.CANCELLED,),
    (State.FAILED, Verb.REDRIVE): (State.PENDING,),
    (State.UNPROCESSABLE, Verb.REDRIVE): (State.PENDING,),
    (State.CANCELLED, Verb.REDRIVE): (State.PENDING,),
}

PLACES: dict[State, tuple[Place, ...]] = {
    State.PENDING: (Place.READY,),
    State.HELD: (Place.READY,),
    State.PROCESSING: (Place.READY, Place.CLAIMED),  # claimed/ from the moment that it runs
    State.COMPLETED: (Place.DONE, Place.GONE),
    State.FAILED: (Place.DEAD, Place.GONE),  # gone: it is being deleted, and its row goes next
    State.UNPROCESSABLE: (Place.DEAD, Place.GONE),
    State.CANCELLED: (Place.CANCELLED, Place.GONE),
}


def sources(verb: Verb) -> tuple[State, ...]:
    """The states from which `verb` is possible, in the order of the table."""
    return tuple(state for state, each in TRANSITIONS if each is verb)


@dataclass(frozen=True, slots=True)
class Job:
    """One accepted file and its life, as the index knows it. Instants are Unix seconds, sizes bytes.

    `name` is the producer's, as bytes; `arriver` the owner name of the process that accepted it. Its payload belongs
    in `place`, and is known to be there once `confirmed`. `attempt` only grows, one a claim, and fences: who names an
    older one has lost his lease. `failures`, `crashes` and `losses` are what budgets are held against. `cancel_by`:
    who wants it cancelled while it runs, in words. `assigned_to`: the only program (consumer-03) that may claim it;
    None: any that serves its queue. `fingerprint`: what its error has in common with others of its kind. `origin`:
    the job that it was made of anew.
    """

    id: str
    queue: str
    name: bytes
    arriver: str
    state: State
    place: Place
    confirmed: bool
    priority: int
    attempt: int
    failures: int
    crashes: int
    losses: int
    owner: str | None
    size: int
    created_at: float
    ready_at: float
    updated_at: float
    output: str | None = None
    output_size: int | None = None
    output_sha256: str | None = None
    error: str | None = None
    options: dict[str, Any] | None = None
    cancel_by: str | None = None
    assigned_to: str | None = None
    fingerprint: str | None = None
    origin: str | None = None


class Outline(NamedTuple):
    """What a pass over very many rows needs of each, the values as they stand in the row."""

    id: str
    queue: str
    name: bytes
    arriver: str
    state: str
    place: str
    confirmed: int
    attempt: int
    size: int
    updated_at: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file on its way to becoming a job: what the ingester or a submitter knows of it."""

    id: str
    queue: str
    name: bytes
    size: int
    priority: int = 0
    ready_at: float = 0.0
    held: bool = False
    options: dict[str, Any] | None = None
    assigned_to: str | None = None


class Kind(StrEnum):
    """How an attempt ended, as the runner or the consumer saw it. What each costs the job stands in `retry`."""

    DONE = "done"
    FAILED = "failed"  # the handler said no
    PERMANENT = "permanent"  # the handler said never
    TIMEOUT = "timeout"
    RETRY_LATER = "retry later"  # the handler said not now
    CRASHED = "crashed"  # it took its runner down
    ENVIRONMENT = "environment"  # the machine was at fault: no room, no program
    LOST = "lost"  # it had started, and what became of it nobody knows
    RELEASED = "released"  # given back
    CANCELLED = "cancelled"
    MISSING = "missing"  # its payload was not there


@dataclass(frozen=True, slots=True)
class Used:
    """What an attempt used: processor seconds, and the most memory of a process (None: not known), in bytes."""

    user_seconds: float
    system_seconds: float
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one attempt. `started_at` is None for an attempt that never ran.

    `used` and `handler`, a description with its version, are told of handlers that are not built in.
    """

    kind: Kind
    error: str | None = None
    delay: float = 0.0
    started_at: float | None = None
    run_seconds: float = 0.0
    output_size: int | None = None
    output_sha256: str | None = None
    exit_code: int | None = None
    log: str | None = None
    used: Used | None = None
    handler: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row of a job's history."""

    job: str
    attempt: int
    owner: str
    started_at: float | None
    ended_at: float
    run_seconds: float
    outcome: str
    error: str | None
    exit_code: int | None
    log: str | None
    handler: str | None = None
    user_seconds: float | None = None
    system_seconds: float | None = None
    peak_bytes: int | None = None
