"""Arrivals that are one more of an earlier job of their queue: by their content, or by their idempotency key.

Looked for only where a queue's `duplicates` is not off: there the payload is read once more, and its SHA-256 stands
with the job (in its options, and so in its meta file). `warn` makes a job as always, with an event; `link` answers
with the earlier job; `reject` refuses. A job that has failed or was cancelled is nobody's earlier one, and no replay
is a duplicate of what it repeats. Whoever submits may ask for `link` by its key alone (`once`), in any queue.

A schedule's job for a due time that has been seen to is one more as well, whatever its queue says; and so is a set of
files that has been taken.

Who is the first is decided in the transaction that makes the jobs, by a UNIQUE key: of two that race one is the job,
and the other is refused only once that is committed. So there is no moment in which both are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pqfs.index import Index
from pqfs.index.keys import Key, Keys
from pqfs.index.schedulerows import ScheduleRows
from pqfs.model import Arrival, Job
from pqfs.spool import Spool
from pqfs.terms import Terms

CONTENT, KEY, DUE = "content", "key", "due time"
SET = "set"  # the option of a job that was made of several files; and in what it and one more of it are the same
ONCE = "once"  # an option: where the key is known, the earlier job answers
SCHEDULE = "schedule"  # the option that names a job's schedule, and its due time
VERB = "duplicate"
_SAME = {
    CONTENT: "its content is that of", KEY: "its idempotency key is that of",
    DUE: "its schedule has seen to this due time: the last was that of", SET: "its files are those of",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Twin:
    """An arrival, the earlier job that it is one more of, in what they are the same, and its queue's policy."""

    arrival: Arrival
    earlier: str
    kind: str
    policy: str

    @property
    def is_turned_away(self) -> bool:
        """Whether it becomes no job of its own."""
        return self.policy in ("link", "reject")

    def reason(self, earlier: Job | None) -> str:
        """Why, in words; `earlier` is the row of the earlier job."""
        output = f", whose output is {earlier.output}" if earlier and earlier.output else ""
        state = f", which is {earlier.state}" if earlier and not earlier.output else ""
        return f"it is a duplicate: {_SAME[self.kind]} job {self.earlier}{output}{state}"


class Duplicates:
    """The duplicates of one spool."""

    def __init__(self, spool: Spool, index: Index, terms: Terms) -> None:
        self._spool = spool
        self._index = index
        self._keys = Keys(index.engine)
        self._schedules = ScheduleRows(index.engine)
        self._terms = terms

    def mark(self, arrivals: Sequence[Arrival], path: Callable[[Arrival], str]) -> list[Arrival]:
        """The same; those whose queue looks for duplicates with the hash of the payload at this path."""
        if not self._looks_at(arrivals):
            return list(arrivals)
        return [self._marked(each, path(each)) if self._reads(each) else each for each in arrivals]

    def _looks_at(self, arrivals: Collection[Arrival | Job]) -> bool:
        """Whether any of these may be a duplicate of something: else nothing is asked, and nothing read."""
        if any(self._terms.queue(queue).duplicates != "off" for queue in {each.queue for each in arrivals}):
            return True
        return any(each.options and ONCE in each.options for each in arrivals)

    def _reads(self, arrival: Arrival) -> bool:
        """Whether its content counts, and not its key alone."""
        return self._policy(arrival) != "off" and self._terms.queue(arrival.queue).duplicates != "off"

    def _marked(self, arrival: Arrival, path: str) -> Arrival:
        with self._spool.path(path).open("rb") as payload:
            digest = hashlib.file_digest(payload, "sha256").hexdigest()
        return replace(arrival, options={**(arrival.options or {}), CONTENT: digest})

    def _policy(self, each: Arrival | Job) -> str:
        options = each.options or {}
        if "origin" in options:  # a replay or an edited copy: somebody wants it once more
            return "off"
        policy = self._terms.queue(each.queue).duplicates
        return "link" if policy == "off" and ONCE in options else policy

    # ---------------------------------------------------------------- inside the transaction that makes the jobs

    def sift(self, arrivals: Sequence[Arrival]) -> tuple[list[Arrival], list[Twin]]:
        """Those that become jobs, and those that are one more of an earlier one (`warn`: they are in both)."""
        if not self._looks_at(arrivals) and not any(map(_is_made_of_more, arrivals)):
            return list(arrivals), []
        made: list[Arrival] = []
        twins: list[Twin] = []
        first: dict[Key, str] = {}
        for arrival in arrivals:
            policy = self._policy(arrival)
            twin = self._too_late(arrival) or self._taken(arrival)
            if twin is None and policy != "off":
                twin = self._twin(arrival, policy, first)
            if twin:
                twins.append(twin)
            if twin is None or not twin.is_turned_away:
                made.append(arrival)
                first.update({key: arrival.id for key in _keys(arrival) if policy != "off" and key not in first})
        return made, twins

    def _too_late(self, arrival: Arrival) -> Twin | None:
        """A schedule's job for a due time that it has had already; of a schedule that is gone it is none."""
        name, due = _due_of(arrival) or ("", 0.0)
        schedule = self._schedules.find(name) if name else None
        if schedule is None or schedule.done_at < due:
            return None
        return Twin(arrival, schedule.job or "(none)", DUE, "reject")

    def _taken(self, arrival: Arrival) -> Twin | None:
        """A set that was taken before, whatever has become of its job."""
        key = _set_key(arrival)
        owner = self._keys.owner(key) if key else None
        return Twin(arrival, owner, SET, "reject") if owner not in (None, arrival.id) else None

    def owner_of_set(self, queue: str, digest: str) -> str | None:
        """The job that the set of this key has become."""
        return self._keys.owner(Key(queue, KEY, digest))

    def _twin(self, arrival: Arrival, policy: str, first: dict[Key, str]) -> Twin | None:
        for key in _keys(arrival):
            holder = first.get(key) or self._keys.holder(key)
            if holder not in (None, arrival.id):
                return Twin(arrival, str(holder), key.kind, policy)
        return None

    def note(self, made: Sequence[Arrival], twins: Sequence[Twin], now: float) -> None:
        """After their rows: whose keys and due times these are from now on, and an event of each only warned of."""
        self._remember_origins(made)
        for arrival in made if self._looks_at(made) else ():
            if self._policy(arrival) != "off":
                for key in _keys(arrival):
                    self._keys.take(key, arrival.id)
        for twin in twins:
            if not twin.is_turned_away:
                reason = twin.reason(self._index.job(twin.earlier))
                self._index.add_event(now, "ingest", VERB, job=twin.arrival.id, reason=reason)

    def remember(self, jobs: Iterable[Job]) -> None:
        """The keys of jobs that were made again from the tree, as far as their meta files tell. In a transaction."""
        jobs = list(jobs)
        self._remember_origins(jobs)
        for job in jobs:
            if self._looks_at([job]):
                for key in _keys(job):
                    self._keys.take(key, job.id)

    def _remember_origins(self, jobs: Iterable[Arrival | Job]) -> None:
        """The due times and the sets that these jobs were made of."""
        for job in filter(_is_made_of_more, jobs):
            if due := _due_of(job):
                self._schedules.ran(*due, job.id)
            if key := _set_key(job):
                self._keys.take(key, job.id)

    # ---------------------------------------------------------------- afterwards

    def reason(self, twin: Twin) -> str:
        """Why a twin is one, in words, with the output of the earlier job as far as there is one."""
        return twin.reason(self._index.job(twin.earlier))


def _is_made_of_more(each: Arrival | Job) -> bool:
    """Whether a schedule's due time, or a set of files, has become this job: of most there is nothing to look at."""
    return bool(each.options) and bool(_due_of(each) or _set_key(each))


def _due_of(each: Arrival | Job) -> tuple[str, float] | None:
    """The schedule and the due time that a job was made for; None of all others, and of one that a person had run."""
    found = (each.options or {}).get(SCHEDULE)
    if not isinstance(found, dict) or not isinstance(found.get("due"), int | float):
        return None
    return str(found.get("name")), float(found["due"])


def _set_key(each: Arrival | Job) -> Key | None:
    """The key of the set that a job was made of; None of all others, and of what was made anew of such a job."""
    options = each.options or {}
    found = options.get(SET)
    if not isinstance(found, dict) or not isinstance(found.get("key"), str) or "origin" in options:
        return None
    return Key(each.queue, KEY, found["key"])


def _keys(each: Arrival | Job) -> Iterator[Key]:
    options = each.options or {}
    of = partial(Key, each.queue)
    if isinstance(content := options.get(CONTENT), str):
        yield of(CONTENT, content)
    if isinstance(key := options.get(KEY), str):
        yield of(KEY, hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest())
