"""Makes new jobs of old ones: from the inputs that are still kept, or from a file in their place.

The new job has a name, queue, priority and options like the old one's, and names it as its `origin`: in its row and
beside its payload, so that a rebuild knows it. The event on the old one, which stays as it is, names the new one. It
goes in like every submit: a copy under an owner name of our own, then one commit for a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pqfs.clock import Clock
from pqfs.errors import Refused
from pqfs.index import Act
from pqfs.index.filters import Filters
from pqfs.jobqueue import JobQueue
from pqfs.model import FINAL, Arrival, Job, Place
from pqfs.submission import Submitter, Wish

# Options that mean the old job alone: the mark of its sidecar, its idempotency key, the hash of its content, its due
# time.
_OWN = ("sidecar", "key", "content", "sha256", "schedule")


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be other than it was; None: as it was. `file`: its content in place of the input's."""

    file: Path | None = None
    queue: str | None = None
    priority: int | None = None
    ready_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes new jobs, by which verb (replay, edit), and why."""

    actor: str
    verb: str
    reason: str | None = None


class Replay:
    """`with Replay(…) as replay:`; what was added is a job once `commit` has returned, and not before."""

    def __init__(self, jobqueue: JobQueue, clock: Clock, author: Author, again: bool = False) -> None:
        self._jobqueue = jobqueue
        self._author = author
        self._again = again
        self._filters = Filters(jobqueue.index)
        self._submitter = Submitter(jobqueue, author.verb, clock)
        self._staged: list[tuple[Job, Arrival]] = []

    def __enter__(self) -> Self:
        self._submitter.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._submitter.__exit__(kind, error, trace)

    def check(self, job: Job, change: Change) -> None:
        """Refuse what can not be made anew.

        Raises:
            Refused: it has not ended, its input is no longer kept, or (unless `again`) it was made anew before.
        """
        if job.state not in FINAL:
            raise Refused(f"Job {job.id} is {job.state}: it has not ended.", f"See: pqfs why {job.id}")
        if job.place is Place.GONE and change.file is None:
            raise Refused(f"The input of job {job.id} is no longer kept.")
        if not self._again and (made := self._filters.descendants(job.id, 1)):
            raise Refused(f"Job {job.id} was made anew before, as {made[0].id}.", "Do it all the same: --again")

    def add(self, job: Job, change: Change) -> Arrival:
        """Copy its input, or the file; the job that it will be.

        Raises:
            Refused: as `check` and `Submitter.stage` say.
        """
        self.check(job, change)
        with self._open(job, change) as source:
            arrival = self._submitter.stage(source, job.name, _wish(job, change))
        self._staged.append((job, arrival))
        return arrival

    def _open(self, job: Job, change: Change) -> IO[bytes]:
        spool = self._jobqueue.spool
        path = change.file or spool.path(spool.payload_path(job))
        try:
            return path.open("rb")
        except FileNotFoundError as error:
            what = f"{path} is not there." if change.file else f"The input of job {job.id} is not in its place."
            raise Refused(what, f"See: pqfs why {job.id}") from error
        except OSError as error:
            raise Refused(f"{path} can not be read: {error.strerror}.") from error

    def commit(self) -> list[tuple[Job, str]]:
        """Make what was added jobs; each old one with the id of its new one."""
        staged, self._staged = self._staged, []
        author = self._author
        acts = [
            Act(author.actor, author.verb, old.id, old.queue, author.reason, before=old.state, after=new.id)
            for old, new in staged
        ]
        if staged:
            self._submitter.commit(acts)
        return [(old, new.id) for old, new in staged]


def _wish(job: Job, change: Change) -> Wish:
    options: dict[str, Any] = {key: value for key, value in (job.options or {}).items() if key not in _OWN}
    priority = job.priority if change.priority is None else change.priority
    return Wish(change.queue or job.queue, priority, change.ready_at, options={**options, "origin": job.id})
