"""The verbs. The only place, with `steering`, where spool and index meet and the order of effects is decided.

    The spool decides that a job exists. The index decides who holds it and what became of it. When they
    disagree, recovery moves the file to where the index says, and registers a file that the index has never
    seen.

So every verb has one of two shapes. What makes a job (ingest, submit) renames, makes the rename durable, then
commits. What changes a job (all others) commits, then renames to where the row now says; only what a rebuild must
know of it (a hold, an assignment) is written beside the payload before. Killing a process
between any two lines loses nothing: each `# Crash here` says what is left behind and who repairs it, and a
test crashes there. spool/README.md lists the same effects by number.

`now` is an argument: Unix seconds. Batches are the rule; a batch of one is a batch.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pqfs import kernel, naming
from pqfs.dispatch import Dispatch
from pqfs.duplicates import SET, Duplicates, Twin
from pqfs.edition import Unread
from pqfs.errors import Rejected
from pqfs.events import Word, emit
from pqfs.footing import footing
from pqfs.inbox import Entry
from pqfs.index import Act, Completion, Index, Settlement
from pqfs.model import (
    DEAD,
    DEFAULT_QUEUE,
    Arrival,
    Job,
    Kind,
    Outcome,
    Place,
    State,
)
from pqfs.naming import Parked
from pqfs.notices import Notices
from pqfs.places import identity
from pqfs.retry import Budget, judge
from pqfs.settings import Settings
from pqfs.spool import Spool
from pqfs.steering import Steering
from pqfs.terms import Terms
from pqfs.tracing import trace_of


@dataclass(frozen=True, slots=True)
class Taken:
    """A file of the inbox on its way in: how it was judged, its descriptor, the directory that holds it.

    `descriptor` None: it is not held open, since the kernel is not asked for leases on this file system.
    """

    arrival: Arrival
    entry: Entry
    judged: os.stat_result
    descriptor: int | None
    directory: int
    sidecar: Entry | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """A wish for work: up to `limit` jobs of these queues (None: all), given to `hand_over` once they are leased."""

    owner: str
    queues: Sequence[str] | None
    limit: int
    hand_over: Callable[[list[Job]], None]


class JobQueue(Steering):
    """What can be done to jobs, for the processes and (as in `Steering`) for people.

    `chance` tells how much of a backoff is waited, 0.0 to 1.0; `unread` the queues that only a newer pqfs.toml names.
    """

    def __init__(
        self,
        spool: Spool,
        index: Index,
        settings: Settings,
        chance: Callable[[], float] = random.random,
        unread: Unread | None = None,
    ) -> None:
        super().__init__(spool, index, settings)
        self.terms = Terms(index, settings, unread)
        self.duplicates = Duplicates(spool, index, self.terms)
        self.notices = Notices(index, self.terms, spool.path("run"))
        self._dispatch = Dispatch(index, self.terms)
        self._chance = chance

    # ---------------------------------------------------------------- arrival

    def take(self, arriver: str, taken: Taken) -> bool:
        """Move a judged file out of the inbox (effects 2 and 3 of ingest).

        Returns False when the producer has taken it away again, or has exchanged it for another: then the
        file stays where it is. Nothing is durable and nothing is a job before `ingest`.
        """
        arrival = taken.arrival
        if meta := self.meta_of(arrival):
            self.spool.write_meta(arrival.id, meta)
        # Crash here: a meta file without a payload; the janitor removes it after an hour.
        base = os.path.basename(taken.entry.path)
        parked = Parked(arrival.id, arrival.queue, naming.disk_name(arrival.name))
        try:
            self.spool.accept(taken.directory, base, arriver, parked)
        except FileNotFoundError:
            return False
        # Crash here: a payload in ready/<arriver>/ without a row; recovery adopts it under the id in its name.
        return True

    def is_settled(self, arriver: str, taken: Taken) -> bool:
        """Ask again, after the rename, whether it is the judged file and nobody writes it (effect 4 of ingest).

        Race: a producer opens the file, or puts another in its place, between the first question and the
        rename; from the inbox nobody can open it any more afterwards.
        """
        found = self.spool.status(self._ready_path(arriver, taken.arrival))
        same = found is not None and identity(found) == identity(taken.judged) and found.st_nlink == 1
        return same and (taken.descriptor is None or not self._is_written(taken.descriptor, None))

    def ask_again(self, arriver: str, arrival: Arrival, now: float) -> Arrival | None:
        """Whether a file in ready/ that has no row is complete by now: its arrival with its final size, or None.

        It may be another than the one that was judged in the inbox, so everything is asked again. `now` is wall
        time, and the job's id tells since when it lies there.

        Raises:
            Rejected: it can not become a job, or has been in the way of that for too long.
        """
        path = self.spool.path(self._ready_path(arriver, arrival))
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            raise Rejected("it was exchanged for something that is not a regular file")
        largest = self.terms.queue(arrival.queue).largest
        if largest is not None and found.st_size > largest:
            raise Rejected(f"it has {found.st_size} bytes; queue {arrival.queue} takes at most {largest}")
        over = now - naming.id_time(arrival.id) >= self.settings.ingest.wait_limit
        closed = not os.access(path, os.R_OK, effective_ids=True)
        if closed or found.st_nlink != 1:
            if over:
                raise Rejected("it can not be read by this user" if closed else "it has another hard link")
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            written = self._is_written(descriptor, now)
        finally:
            os.close(descriptor)
        if written:
            return None
        self.verify(arriver, arrival)
        return replace(arrival, size=found.st_size)

    def verify(self, arriver: str, arrival: Arrival) -> None:
        """Hold a settled file in ready/ against the SHA-256 that its producer has told; read only where one has.

        Raises:
            Rejected: they differ.
        """
        told = (arrival.options or {}).get("sha256")
        if told is None:
            return
        with self.spool.path(self._ready_path(arriver, arrival)).open("rb") as payload:
            found = hashlib.file_digest(payload, "sha256").hexdigest()
        if found != told:
            raise Rejected(f"its SHA-256 is {found}; its sidecar says {told}")

    def _is_written(self, descriptor: int, now: float | None) -> bool:
        """Where leases are not to be had, the time since the file's last change must do (None: it has done).

        Judged by the file system's time of change, which no producer can set; a step of the clock may shorten it, and
        so may a file server whose clock is another.
        """
        if self._asks_leases:
            try:
                return kernel.is_open_for_writing(descriptor)
            except OSError:
                pass  # not for this file
        changed = os.fstat(descriptor).st_ctime
        return now is not None and 0.0 <= now - changed < self.settings.ingest.settle

    @cached_property
    def _asks_leases(self) -> bool:
        return footing(self.spool.root, self.settings.ingest).asks_leases

    def refuse(self, arriver: str, parked: Parked, reason: str, now: float, **more: Any) -> None:
        """Put what can not become a job although it has left the inbox into rejected/, with its reason.

        `more` is told with the reason: the `job` that it is about, where that is another one.
        """
        self.notices.refusing(parked.queue, naming.original(parked.name), parked.job, reason, now)
        # Crash here: a notice of a refusal that has not happened; the courier finds no object, and drops it.
        self._refuse(arriver, parked, reason, now, **more)
        self.notices.ring()

    def _refuse(self, arriver: str, parked: Parked, reason: str, now: float, **more: Any) -> None:
        source = self.spool.ready_path(arriver, parked)
        found = self.spool.status(source)
        said = {
            "name": parked.name, "queue": parked.queue, "reason": reason, "at": now,
            "size": found.st_size if found else 0, "job": parked.job, **more,
        }  # fmt: skip
        path = self.spool.refuse(source, naming.original(parked.name), parked.job, said)
        emit(Word.REJECTED, name=parked.name, reason=reason, path=path)

    def ingest(
        self,
        arriver: str,
        arrivals: Sequence[Arrival],
        directories: Sequence[str | int] | None,
        now: float,
        acts: Sequence[Act] = (),
    ) -> list[Twin]:
        """Make accepted payloads jobs (effects 5 to 7 of ingest).

        The barrier covers the payloads, the removal from the inbox and the arrival in ready/, in this order:
        btrfs keeps both names otherwise. Once this returns the jobs survive anything. Returns the duplicates among
        them: those that are turned away lie in ready/ and are the caller's to put away (`turn_away`).

        Raises:
            VolumeFault: the sync failed; nothing is committed and the files stay where they are.
        """
        arrivals = self._marked(arriver, arrivals)
        paths = [self._ready_path(arriver, each) for each in arrivals]
        ours = [f"ready/{arriver}", "ready"]
        self.spool.barrier(paths, None if directories is None else [*directories, *ours])
        # Crash here: durable payloads without rows; recovery adopts them.
        with self.index.transaction():
            made, twins = self.duplicates.sift(arrivals)
            self.index.insert(made, arriver, now)
            self.index.note(_carried_out(acts, twins), now)
            self.duplicates.note(made, twins, now)
            for queue, count in Counter(each.queue for each in made).items():
                size = sum(each.size for each in made if each.queue == queue)
                self.index.add_stats(queue, now, ingested=count, size=size)
            self.notices.accepted(made, now)
            for twin in twins:
                if twin.is_turned_away and twin.kind != SET:
                    self.notices.duplicate(twin.arrival, twin.earlier, now)
        # Crash here: pending jobs whose bell has not rung: consumers poll. A duplicate in ready/ without a row:
        # recovery adopts it, and finds it to be one again.
        self.ring()
        self.notices.ring()
        return twins

    def _marked(self, arriver: str, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """With the hashes of those that may be duplicates; durable beside them, so that a rebuild knows them."""
        marked = self.duplicates.mark(arrivals, lambda each: self._ready_path(arriver, each))
        for before, after in zip(arrivals, marked, strict=True):
            if before.options != after.options:
                self.spool.write_meta(after.id, self.meta_of(after))
        return marked

    def turn_away(self, arriver: str, twin: Twin, now: float) -> None:
        """Put a duplicate into rejected/, with a reason that names the earlier job.

        A set that was taken before is no more than one more copy of what that job has: it is removed.
        """
        arrival = twin.arrival
        parked = Parked(arrival.id, arrival.queue, naming.disk_name(arrival.name))
        if twin.kind == SET:
            self.spool.remove(self.spool.ready_path(arriver, parked))
        else:
            self._refuse(
                arriver, parked, self.duplicates.reason(twin), now, job=twin.earlier, options=arrival.options
            )
        self.forget_arrival(arriver, arrival)

    def forget_arrival(self, arriver: str, arrival: Arrival) -> None:
        """Remove the meta file of what has left ready/ and is no job, once no loss of power can bring that back.

        By its meta file alone would it be known as one more of another, or as what it should not be.
        """
        self.spool.keep_out(f"ready/{arriver}")
        self.spool.remove(f"meta/{arrival.id}.json")

    def _ready_path(self, arriver: str, arrival: Arrival) -> str:
        return self.spool.ready_path(arriver, Parked(arrival.id, arrival.queue, naming.disk_name(arrival.name)))

    def submit(
        self, arriver: str, staged: Sequence[tuple[Arrival, str]], now: float, acts: Sequence[Act] = ()
    ) -> list[Twin]:
        """Make files that the submitter staged in its own work/<arriver>/ jobs; durable when this returns.

        Returns the duplicates among them. The copies of those that are turned away are removed: the submitter, who
        still has the file, is told. `acts` are noted in the same commit, but for those that name one of these.
        """
        # Durable before they move: what recovery finds in ready/ after a loss of power is whole, or is not there.
        self.spool.barrier([path for _, path in staged], [])
        for arrival, path in staged:
            if meta := self.meta_of(arrival):
                self.spool.write_meta(arrival.id, meta)
            self.spool.move(path, self._ready_path(arriver, arrival))
        twins = self.ingest(arriver, [arrival for arrival, _ in staged], [f"work/{arriver}"], now, acts)
        for twin in twins:
            if twin.is_turned_away:
                self.spool.remove(self._ready_path(arriver, twin.arrival))
                self.forget_arrival(arriver, twin.arrival)
        return twins

    # ---------------------------------------------------------------- attempts

    def claim(
        self, owner: str, queues: Sequence[str] | None, limit: int, now: float, lasting: bool = False
    ) -> list[Job]:
        """Lease jobs (effect 1 of claim). Each starts with the rename that the runner does right before it.

        `queues` None means all. `dispatch` decides which jobs: none of a queue that is paused or at its limits.
        The commit waits for no flush: a loss of power may take the claims back, and nobody who holds them lives on.
        Whatever becomes of them is a later, lasting commit, which makes them last, too. `lasting`: it waits for one
        all the same, since somebody may outlive the machine with the attempt in his hands.
        """
        with self.index.transaction(lasting=lasting):
            return self._dispatch.claim(owner, queues, limit, now)
        # Crash here: leased jobs in ready/; recovery gives them back at no cost.

    def finish(
        self,
        ended: Sequence[tuple[Job, Outcome]],
        now: float,
        moved: Sequence[Job] = (),
        more: Lease | None = None,
    ) -> list[Job]:
        """End attempts: publish what is done, send the rest where its verdict says.

        `.out` files of the done ones are complete in work/<owner>/. One barrier, one commit, then the moves. The
        commit also confirms what an earlier batch has `moved`, and leases `more`, which is handed over before the
        moves: while they last, its runner is at work. Returns the jobs as their rows now stand, payloads moved but
        not yet confirmed: the caller passes them to `confirm`, or with its next batch. Attempts whose lease is lost
        are left out; what they wrote is deleted.

        Raises:
            VolumeFault: the outputs could not be made durable; nothing is committed.
        """
        done = [(job, outcome) for job, outcome in ended if outcome.kind is Kind.DONE]
        self._make_durable([job for job, _ in done])
        # Crash here: complete, durable outputs that no row knows; recovery runs these jobs again.
        completions = [self._completion(job, outcome, now) for job, outcome in done]
        with self.index.transaction():
            won = self.index.complete(completions, now)
            settled = [self._settle(job, outcome, now) for job, outcome in ended if outcome.kind is not Kind.DONE]
            kept = [(each.job, each.outcome) for each in completions if each.job.id in won]
            self.index.record_all(kept, now)
            self.notices.completed([each for each in completions if each.job.id in won], now)
            self._count_completed(kept, now)
            confirmed = self.index.confirm(moved)
            leased = self._dispatch.claim(more.owner, more.queues, more.limit, now) if more else []
        # Crash here: the commit point is passed; recovery rolls forward from the rows: the same outputs, once. What
        # was leased lies in ready/ and is given back at no cost.
        if more:
            more.hand_over(leased)
        self._follow(moved, confirmed)
        return self._move_ended(completions, won, [job for job in settled if job is not None], now)

    def _move_ended(
        self, completions: Sequence[Completion], won: set[str], settled: Sequence[Job], now: float
    ) -> list[Job]:
        """After the commit: outputs to the outbox, payloads to where their rows say; those that are there now."""
        put_away = [self._put_away(each, now) for each in completions if each.job.id in won]
        for each in completions:
            if each.job.id not in won:
                self._throw_away(each.job)
        moved = [job for job in put_away if job is not None]
        moved += [job for job in settled if self._moved(job)]
        # Crash here: rows not confirmed; the janitor finds the payloads in place and confirms.
        self.notices.ring()
        return moved

    def _make_durable(self, jobs: Sequence[Job]) -> None:
        outputs = [self.spool.scratch_path(str(job.owner), job.id, job.attempt, "out") for job in jobs]
        self.spool.barrier(outputs, [*sorted({os.path.dirname(path) for path in outputs}), "work"])

    def _completion(self, job: Job, outcome: Outcome, now: float) -> Completion:
        place = Place.DONE if self.terms.keep(job.queue, "done") > 0 else Place.GONE
        return Completion(job, place, naming.output_name(now, job.id, job.name), outcome)

    def _count_completed(self, kept: Sequence[tuple[Job, Outcome]], now: float) -> None:
        for queue, count in Counter(job.queue for job, _ in kept).items():
            spent = sum(outcome.run_seconds for job, outcome in kept if job.queue == queue)
            self.index.add_stats(queue, now, completed=count, run_seconds=spent)

    def _put_away(self, each: Completion, now: float) -> Job | None:
        """Publish, then move the payload. An error here is past the commit: the janitor does it again."""
        job = replace(each.job, state=State.COMPLETED, place=each.place, updated_at=now, output=each.output)
        try:
            self.spool.publish(str(job.owner), job)
            # Crash here: published, the payload still in claimed/; recovery moves it.
            self.spool.settle(job)
        except OSError as error:
            _say_unmoved("an output", job, error)
            return None
        emit(
            Word.COMPLETED,
            job=job.id,
            attempt=job.attempt,
            output=each.output,
            seconds=each.outcome.run_seconds,
            trace=trace_of(job.options),
        )
        return job

    def _throw_away(self, job: Job) -> None:
        """Delete what a fenced-off attempt wrote; but a commit whose answer got lost is no lost lease."""
        if self.is_committed(job):
            return
        emit(Word.LEASE_LOST, job=job.id, attempt=job.attempt)
        try:
            self.spool.remove_tree(self.spool.scratch_path(str(job.owner), job.id, job.attempt, "out"))
        except OSError as error:
            _say_unmoved("an output that lost its lease", job, error)

    def is_committed(self, job: Job) -> bool:
        """Whether this attempt has completed its job, though the answer to its commit may have got lost."""
        found = self.index.job(job.id)
        return found is not None and (found.state, found.attempt, found.owner) == (
            State.COMPLETED, job.attempt, job.owner,
        )  # fmt: skip

    def _moved(self, job: Job) -> bool:
        """Move a payload to where its row says. An error here is past the commit: the janitor does it again."""
        try:
            return self.spool.settle(job)
        except OSError as error:
            _say_unmoved("a payload", job, error)
            return False

    def _settle(self, job: Job, outcome: Outcome, now: float) -> Job | None:
        """Inside a transaction: end an attempt that did not complete, as the queue's policy says."""
        policy = self.terms.queue(job.queue).retry_policy(job.options)
        budget = Budget(job.failures, job.crashes, job.losses)
        verdict = judge(policy, budget, outcome, self._chance())
        if verdict.state is State.PENDING and (found := self.index.job(job.id)) and found.cancel_by:
            # Race: a person cancelled it, and the attempt ended by itself before its consumer had heard of that.
            outcome = replace(outcome, kind=Kind.CANCELLED, error=found.cancel_by)
            verdict = judge(policy, verdict.budget, outcome, self._chance())
        settlement = Settlement(job, verdict.state, verdict.budget, now + verdict.wait, verdict.error)
        settled = self.index.settle(settlement, now)
        if settled is None:
            emit(Word.LEASE_LOST, job=job.id, attempt=job.attempt)
            return None
        if outcome.started_at is not None or outcome.kind is not Kind.RELEASED:
            self.index.record(job, outcome, now)
        else:
            self._dispatch.take_back(job)
        if settled.state in DEAD:
            self.index.add_stats(job.queue, now, failed=1)
        self.notices.settled(job, settled, now)
        _say(settled, outcome)
        return settled

    def end(self, job: Job, outcome: Outcome, now: float) -> None:
        """End one attempt and confirm its move."""
        self.confirm(self.finish([(job, outcome)], now))

    def revoke(self, job: Job, outcome: Outcome, now: float) -> Job | None:
        """Take a leased job back that may not have started (give-back, recovery of a dead owner).

        Whoever wins the rename ready/ -> claimed/ decides: the revoker first wins it itself, then changes the
        row, then moves the file back; a stopped consumer that wakes up finds nothing to move. The job as its
        row now stands, not yet confirmed; None when the lease was lost to somebody else.
        """
        self.spool.start(job)
        # Crash here: the payload in claimed/, no slot names it; recovery gives it back and counts a loss, no more.
        with self.index.transaction():
            settled = self._settle(job, outcome, now)
        # Crash here: a pending job whose payload is in claimed/; the janitor moves it.
        if settled is not None:
            self.spool.settle(settled)
        self.notices.ring()
        return settled

    def give_back(self, jobs: Sequence[Job], reason: str, now: float) -> list[str]:
        """Release leased jobs that have not started, at no cost; the ids of those that were still ours to give.

        Race: the runner starts one just now. Then its rename wins, ours finds nothing, and the job stays.
        """
        given = []
        for job in jobs:
            if self.spool.start(job):
                with self.index.transaction():
                    settled = self._settle(job, Outcome(Kind.RELEASED, reason), now)
                if settled is not None:
                    self.spool.settle(settled)
                    self.confirm([settled])
                given.append(job.id)
        if given:
            self.ring()
        return given


def _carried_out(acts: Sequence[Act], twins: Sequence[Twin]) -> list[Act]:
    """The acts without those on arrivals that become no job."""
    away = {twin.arrival.id for twin in twins if twin.is_turned_away}
    return [act for act in acts if not {act.job, act.after} & away]


def _say_unmoved(what: str, job: Job, error: OSError) -> None:
    emit(Word.ALARM, what=f"{what} could not be moved; it will be tried again", job=job.id, error=str(error))


_SAID = {
    Kind.CRASHED: Word.CRASHED,
    Kind.TIMEOUT: Word.TIMEOUT,
    Kind.MISSING: Word.PAYLOAD_LOST,
    Kind.CANCELLED: Word.CANCELLED,
    Kind.RELEASED: Word.RELEASED,
    Kind.LOST: Word.RELEASED,
}


def _say(job: Job, outcome: Outcome) -> None:
    usual = Word.FAILED if job.state in DEAD else Word.RETRY
    word = _SAID.get(outcome.kind, usual)
    queue = None if job.queue == DEFAULT_QUEUE else job.queue
    emit(
        word,
        job=job.id,
        attempt=job.attempt,
        queue=queue,
        name=naming.printable(job.name),
        state=job.state,
        error=outcome.error,
        trace=trace_of(job.options),
    )
