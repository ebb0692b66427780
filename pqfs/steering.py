"""People's verbs: hold, release, cancel, fail, redrive, assign, prioritise, delete … The other half of `jobqueue`.

Each commits first, fenced by the state (its event in the same transaction), then renames to where the row now says,
then confirms. What a rebuild must know of a waiting job is made durable beside it before that commit and under the
index's write lock: a crash in between promises nothing to anybody, and of two people at once neither loses what the
other did. An act that was interrupted may be repeated: the state is the guard.

`now` is an argument: Unix seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pqfs import naming
from pqfs.clock import iso
from pqfs.doorbell import ring
from pqfs.errors import IllegalTransition, JobNotFound, Refused
from pqfs.index import Index, Settlement
from pqfs.model import FINAL, TRANSITIONS, Arrival, Job, Place, State, Verb
from pqfs.notices import Notices
from pqfs.retry import Budget
from pqfs.settings import Settings
from pqfs.spool import Spool

PRIORITY, RESCHEDULE, DELETE = "priority", "reschedule", "delete"  # verbs that change no state: their events' words
DISCARD = "delete input"  # an input goes while its row stays


class Steering:
    """What people can do to jobs; and what all verbs share."""

    notices: Notices

    def __init__(self, spool: Spool, index: Index, settings: Settings) -> None:
        self.spool = spool
        self.index = index
        self.settings = settings

    def ring(self) -> None:
        """Wake the consumers, who wait for work."""
        ring(self.spool.path("run"), "consumer")

    # ---------------------------------------------------------------- people's verbs

    def job(self, text: str) -> Job:
        """The job with this id, or the only one whose id begins so.

        Raises:
            JobNotFound: none, or more than one.
        """
        found = self.index.job(text) if naming.is_text(text) else None
        if found is None and len(text) >= 4 and not set(text) - set("0123456789abcdef-"):
            like = self.index.jobs_like(text, 2)
            if len(like) > 1:
                raise JobNotFound(f"whose id alone begins with {text}")
            found = like[0] if like else None
        if found is None:
            raise JobNotFound(text)
        return found

    def hold(self, job: Job, actor: str, reason: str | None, now: float) -> Job:
        """Put a waiting job aside: it is never claimed until it is released. Kept through a rebuild."""
        return self._steer(job, Verb.HOLD, State.HELD, actor, reason, now)

    def release(self, job: Job, actor: str, reason: str | None, now: float) -> Job:
        """Let a held job go on."""
        return self._steer(job, Verb.RELEASE, State.PENDING, actor, reason, now)

    def cancel(self, job: Job, actor: str, reason: str | None, now: float) -> Job:
        """Withdraw a job. One that runs is asked to end: its consumer ends the attempt, then commits.

        The job that is returned names the attempt that was asked, which may be a later one than the caller saw.
        """
        if job.state is not State.PROCESSING:
            return self._steer(job, Verb.CANCEL, State.CANCELLED, actor, reason, now)
        with self.index.transaction():
            attempt = self.index.request_cancel(job.id, reason or f"cancelled by {actor}")
            if attempt is None:
                raise IllegalTransition(job.id, "no longer processing", Verb.CANCEL)
            self.index.add_event(now, actor, Verb.CANCEL, job=job.id, reason=reason, before=job.state)
        self.ring()
        return replace(job, attempt=attempt, cancel_by=actor)

    def fail(self, job: Job, actor: str, reason: str | None, now: float) -> Job:
        """Mark a waiting job failed: it becomes a dead letter."""
        return self._steer(job, Verb.FAIL, State.FAILED, actor, reason, now, reason or f"marked failed by {actor}")

    def redrive(self, job: Job, actor: str, reason: str | None, now: float, ready_at: float = 0.0) -> Job:
        """Give a dead or cancelled job both budgets back and make it wait again; its history stays.

        It may run at once, or from `ready_at` on, which is kept through a rebuild, too.
        """
        fresh = replace(job, failures=0, crashes=0, losses=0, ready_at=max(now, ready_at))
        return self._steer(fresh, Verb.REDRIVE, State.PENDING, actor, reason, now)

    def prioritise(self, job: Job, priority: int, actor: str, reason: str | None, now: float) -> Job:
        """Give a waiting or held job another priority. Kept through a rebuild."""
        return self._plan(job, PRIORITY, "priority", priority, actor, reason, now)

    def reschedule(self, job: Job, ready_at: float, actor: str, reason: str | None, now: float) -> Job:
        """Let a waiting or held job run no sooner than at `ready_at` (now: at once). Kept through a rebuild."""
        return self._plan(job, RESCHEDULE, "ready_at", ready_at, actor, reason, now)

    def _plan(
        self, job: Job, verb: str, field: str, wanted: float, actor: str, reason: str | None, now: float
    ) -> Job:
        """Change one thing that a waiting job was asked for; whatever else somebody has changed of it stays."""
        with self.index.transaction():
            before = self.index.job(job.id) or job
            planned = self.index.plan(job, {field: wanted}, now)
            if planned is None:
                raise self._too_late(job, verb)
            if planned == before:
                return before
            self._keep(planned)
            told = {"before": _told(before, field), "after": _told(planned, field)}
            self.index.add_event(now, actor, verb, job=job.id, queue=job.queue, reason=reason, **told)
        self.ring()
        return planned

    def assign(self, job: Job, program: str | None, actor: str, reason: str | None, now: float) -> Job:
        """Let one program alone (consumer-03) claim a waiting or held job; None: all again. Kept through a rebuild.

        Who may be named is the caller's to check: the janitor lets all claim what was assigned to one that is gone.
        """
        with self.index.transaction():
            assigned = self.index.assign(job, program)
            if assigned is None:
                raise self._too_late(job, "assign")
            self._keep(assigned)
            told = {"before": job.assigned_to, "after": program}
            self.index.add_event(now, actor, "assign", job=job.id, reason=reason, **told)
        self.ring()
        return assigned

    def _too_late(self, job: Job, verb: str) -> IllegalTransition:
        """What to raise when somebody was quicker."""
        changed = self.index.job(job.id)
        return IllegalTransition(job.id, changed.state if changed else "gone", verb)

    def _keep(self, job: Job) -> None:
        """Let the meta file say what the row now says of a waiting job. Inside a transaction, whose lock it needs."""
        self.spool.write_meta(job.id, self._meta(job))
        # Crash here: the meta file says what the row does not; nobody was told, and only a rebuild would notice.

    def _steer(
        self,
        job: Job,
        verb: Verb,
        state: State,
        actor: str,
        reason: str | None,
        now: float,
        error: str | None = None,
    ) -> Job:
        if state not in TRANSITIONS.get((job.state, verb), ()) or job.state is State.PROCESSING:
            raise IllegalTransition(job.id, job.state, verb)  # what runs is its consumer's: only cancel asks it
        budget = Budget(job.failures, job.crashes, job.losses)
        ready_at = job.ready_at if verb is Verb.REDRIVE else None
        settlement = Settlement(job, state, budget, ready_at, error or job.error)
        with self.index.transaction():
            steered = self.index.steer(settlement, now)
            if steered is None:
                raise self._too_late(job, verb)
            if self._is_to_be_kept(steered, verb, now):
                self._keep(steered)
            self.index.add_event(now, actor, verb, job=job.id, reason=reason, before=job.state, after=state)
            self.notices.settled(job, steered, now)
        # Crash here: the row says where the payload belongs; the janitor moves it.
        if verb is Verb.REDRIVE or not job.confirmed:  # it may still lie where recovery does not look
            self.spool.settle_for_good(steered)
        else:
            self.spool.settle(steered)
        self.confirm([steered])
        self.ring()
        self.notices.ring()
        return steered

    def _is_to_be_kept(self, job: Job, verb: Verb, now: float) -> bool:
        """Whether a steered job's meta file says, or must say, more than its place will: held, or not before."""
        if verb is Verb.REDRIVE:  # held before it was cancelled or failed, it would be held by a rebuild
            return job.ready_at > now or bool(self.spool.read_meta(job.id).get("held"))
        return verb in (Verb.HOLD, Verb.RELEASE)

    def meta_of(self, arrival: Arrival) -> dict[str, Any]:
        """What a payload's path and its queue's settings do not tell of a job; empty when they tell all."""
        meta: dict[str, Any] = {} if naming.is_whole(arrival.name) else {"name": naming.printable(arrival.name)}
        if arrival.priority != self.settings.queue(arrival.queue).priority:
            meta["priority"] = arrival.priority
        optional = {
            "ready_at": arrival.ready_at, "held": arrival.held, "options": arrival.options,
            "assigned_to": arrival.assigned_to,
        }  # fmt: skip
        return meta | {key: value for key, value in optional.items() if value}

    def _meta(self, job: Job) -> dict[str, Any]:
        held = job.state is State.HELD
        arrival = Arrival(
            job.id, job.queue, job.name, job.size, job.priority, job.ready_at, held, job.options, job.assigned_to
        )
        return self.meta_of(arrival)

    def delete(self, job: Job, actor: str, reason: str | None, now: float) -> bool:
        """Purge one job that has ended: its payload, its row, its history. Outputs are never touched.

        Tombstone first (the row no longer says that a payload is kept), then the file, then the row.
        """
        if job.state not in FINAL:
            raise IllegalTransition(job.id, job.state, "delete")
        if not job.confirmed:
            return False
        with self.index.transaction():
            if job.place is not Place.GONE and not self.index.let_go(job.id):
                return False
            self.index.add_event(now, actor, DELETE, job=job.id, queue=job.queue, reason=reason, before=job.state)
        # Crash here: an unconfirmed row that says gone; the janitor removes the file, and the row but of a completed.
        return self.erase(job)

    def discard(self, job: Job, actor: str, reason: str | None, now: float) -> bool:
        """Let go of the input of a job that has ended; its row and history stay. False: it is on the move."""
        if job.state not in FINAL:
            raise IllegalTransition(job.id, job.state, "delete its input")
        if not job.confirmed:
            return False
        if job.place is Place.GONE:
            return True
        with self.index.transaction():
            if not self.index.let_go(job.id):
                return False
            self.index.add_event(now, actor, DISCARD, job=job.id, queue=job.queue, reason=reason, before=job.state)
        # Crash here: an unconfirmed row that says gone; its last event tells recovery that only the file is to go.
        self.spool.discard_for_good(job)
        with self.index.transaction():
            self.index.confirm_gone(job.id)
        return True

    def forget(self, job: Job, actor: str, reason: str | None, now: float) -> bool:
        """Delete the row of a job that has ended and whose input is no longer kept.

        Raises:
            Refused: its input is kept, and a payload without a row would come back as a job.
        """
        if job.state not in FINAL:
            raise IllegalTransition(job.id, job.state, "delete its row")
        if job.place is not Place.GONE:
            raise Refused(f"The input of job {job.id} is still kept.", "Delete both, or the file first: --files-only")
        return self.delete(job, actor, reason, now)

    def is_to_stay(self, job: Job) -> bool:
        """Whether of a job that is a tombstone only the input is to go: it completed, or a person wants it so."""
        events = self.index.events(job.id)
        return job.state is State.COMPLETED or (bool(events) and events[-1].verb == DISCARD)

    def erase(self, job: Job) -> bool:
        """The second half of `delete`: the files of a job whose row is a tombstone, then the row."""
        self.spool.discard_for_good(job)
        self.spool.remove(f"meta/{job.id}.json")
        # Crash here: the same row without a file.
        with self.index.transaction():
            self.index.confirm_gone(job.id)
            return self.index.delete(job)

    # ---------------------------------------------------------------- after a move

    def confirm(self, jobs: Sequence[Job]) -> None:
        """Note in the index that these payloads are where their rows say."""
        if not jobs:
            return
        with self.index.transaction():
            confirmed = self.index.confirm(jobs)
        self._follow(jobs, confirmed)

    def _follow(self, moved: Sequence[Job], confirmed: set[str]) -> None:
        """Move payloads again whose rows have changed since they were moved.

        Race: between our commit and our rename somebody steered one of them on and moved its payload; our rename
        then moved it back. So it is moved once more, to where its row now says.
        """
        for job in moved:
            if (
                job.id not in confirmed
                and (changed := self.index.job(job.id))
                and changed.state is not State.PROCESSING
            ):
                self.spool.settle(changed)


def _told(job: Job, field: str) -> str:
    return iso(job.ready_at) if field == "ready_at" else str(job.priority)
