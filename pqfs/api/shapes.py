"""What requests say and answers hold, as OpenAPI shows it. Instants are ISO 8601 in UTC, durations seconds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from pqfs.model import FURTHEST, LONGEST_KEY, PRIORITY_LIMIT, State
from pqfs.schedules import LONGEST_TEXT

JOB = "01a3185c-5000-7001-89d8-d555156386ad"
_QUEUE = r"^[a-z0-9_-]{1,32}$"
_NAME = r"^[^/\x00-\x1f\x7f]*[^./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*$"


def _whole(value: Any) -> Any:
    """5.0 is an integer in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


JOB_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_Name = Annotated[str, Field(pattern=_NAME, max_length=255)]
_Priority = Annotated[int, Field(ge=-PRIORITY_LIMIT, le=PRIORITY_LIMIT), BeforeValidator(_whole)]
_Key = Annotated[
    str, Field(min_length=1, max_length=LONGEST_KEY, description="Idempotency: a known one answers with its job.")
]
_Reason = Annotated[str, Field(max_length=1000)]
QueueName = Annotated[str, Field(pattern=_QUEUE, examples=["default"])]
Lease = Annotated[float, Field(ge=1, le=86400, description="Seconds that the lease is to last.")]


ScheduleName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", examples=["nightly"])]
# What every reader of them understands; more is accepted than a pattern can say.
_CRON = {
    "type": "string",
    "pattern": r"^(@(hourly|daily|weekly|monthly|yearly)|([1-5]?[0-9]|\*|\*/5) (1?[0-9]|\*) \* \* ([0-6]|\*))$",
    "description": "Five fields: minute, hour, day, month, day of the week; or @hourly … @yearly.",
}
_ZONE = {"type": "string", "pattern": "^(UTC|Europe/Berlin|America/New_York)$", "default": "UTC",
         "description": "The name of any time zone."}  # fmt: skip


class Wished(BaseModel):
    """What may be asked of a job besides its payload."""

    model_config = ConfigDict(extra="forbid")

    queue: QueueName = "default"
    name: _Name | None = None
    priority: _Priority | None = None
    delay: Annotated[float, Field(ge=0, le=FURTHEST - 86400, description="Seconds before it is run.")] = 0.0
    key: _Key | None = None


class Enqueue(Wished):
    """A job in JSON. Text becomes the payload as it is (UTF-8), everything else as JSON."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"job_data": "a line of text", "queue": "default"}]}
    )

    job_data: Any
    metadata: dict[str, Any] | None = None


class EnqueueForm(Wished):
    """Jobs as a form: a file, or several, and the same fields, where they are not left out.

    Several files are a job each, all or none; for a queue that takes sets they are one job together.
    """

    name: _Name | SkipJsonSchema[None] = None
    priority: _Priority | SkipJsonSchema[None] = None
    key: _Key | SkipJsonSchema[None] = None
    file: Annotated[bytes, Field(json_schema_extra={"format": "binary"})]


class OutputForm(BaseModel):
    """An output as a form: one file."""

    file: Annotated[bytes, Field(json_schema_extra={"format": "binary"})]


class Enqueued(BaseModel):
    """The job is durable. `job_id` is the earlier job's where the key was known; `job_ids` are those of all files."""

    message: Annotated[str, Field(examples=["Job enqueued"])]
    job_id: Annotated[str, Field(examples=[JOB])]
    job_ids: Annotated[list[str], Field(examples=[[JOB]])]


class Leased(BaseModel):
    """A job that is the caller's until `lease_end`. `payload` is told where it is short text.

    `is_set`: it is a tar file of files that came together.
    """

    job_id: Annotated[str, Field(examples=[JOB])]
    attempt: Annotated[int, Field(ge=1)]
    queue: str
    name: str
    size: int
    lease_end: str
    metadata: dict[str, Any]
    is_set: bool
    payload: str | None
    payload_url: Annotated[str, Field(examples=[f"/v1/jobs/{JOB}/payload?attempt=1"])]


class Ended(BaseModel):
    """What became of a job whose attempt has ended. `output`: its name in the outbox."""

    message: str
    job_id: Annotated[str, Field(examples=[JOB])]
    state: State
    attempt: int
    output: str | None


class Extended(BaseModel):
    """When a lease ends now."""

    job_id: Annotated[str, Field(examples=[JOB])]
    attempt: int
    lease_end: str


class ResubmitThese(BaseModel):
    """These jobs are to wait again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"jobs": [JOB]}]})

    jobs: Annotated[list[Annotated[str, Field(pattern=JOB_ID)]], Field(min_length=1, max_length=1000)]
    reason: _Reason | None = None


class ResubmitAll(BaseModel):
    """All that have failed are to wait again, of one queue if it is named."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"all": True, "queue": "default"}]})

    all: Literal[True]
    queue: QueueName | None = None
    reason: _Reason | None = None


class Skipped(BaseModel):
    """A job that was left as it is, and why."""

    job_id: str
    reason: str


class ResubmitDone(BaseModel):
    """How many wait again."""

    message: Annotated[str, Field(examples=["3 jobs resubmitted"])]
    resubmitted: int
    skipped: list[Skipped]


class JobShape(BaseModel):
    """A job, as `pqfs jobs list --json` shows it."""

    id: Annotated[str, Field(examples=[JOB])]
    name: str
    queue: str
    state: State
    priority: int
    attempt: int
    failures: int
    crashes: int
    size: int
    created_at: str
    ready_at: str
    updated_at: str
    owner: str | None
    output: str | None
    error: str | None
    assigned_to: str | None


class Jobs(BaseModel):
    """A page of jobs, newest first; `next`: the cursor of the next page, None after the last."""

    items: list[JobShape]
    next: str | None


class ScheduleWish(BaseModel):
    """What is wanted of a schedule: when its jobs are due, and what they are made of."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"name": "tick", "cron": "*/5 * * * *", "text": "now"}]},
    )

    name: ScheduleName
    cron: Annotated[str, Field(max_length=200), WithJsonSchema(_CRON)]
    text: Annotated[str, Field(max_length=LONGEST_TEXT // 4, description="The payload.")]
    zone: Annotated[str, Field(max_length=100), WithJsonSchema(_ZONE)] = "UTC"
    job_name: _Name | None = None
    queue: QueueName = "default"
    priority: _Priority | None = None
    missed: Literal["skip", "once", "all"] = "once"
    jitter: Annotated[float, Field(ge=0, le=86400, description="Seconds by which a job may start later.")] = 0.0
    reason: _Reason | None = None


class ScheduleShape(BaseModel):
    """A schedule, as `pqfs schedule list --json` shows it."""

    name: str
    cron: str
    zone: str
    file: str | None
    queue: str
    priority: int | None
    missed: str
    jitter: float
    paused_at: str | None
    next_at: str | None
    last_at: str | None
    job: str | None
    state: str | None
    output: str | None
    trouble: str | None


class Removed(BaseModel):
    """It is no more."""

    message: str


class Listed(BaseModel):
    """A listing whose items are as the command line's `--json` shows them."""

    items: list[dict[str, Any]]


class StatsShape(BaseModel):
    """Jobs by state; the longest wait of a due job; what happened in the last minute and hour."""

    at: str
    jobs: dict[str, int]
    oldest_wait: float | None
    last_minute: dict[str, float]
    last_hour: dict[str, float]


class Health(BaseModel):
    """Whether anything needs a person: `alarms`; and what is worth knowing: `notices`."""

    ok: bool
    alarms: list[dict[str, Any]]
    notices: list[dict[str, Any]]


class Ready(BaseModel):
    """This process can do its work."""

    ready: bool
