"""Makes spool and index agree again, whoever died and wherever. Idempotent, restartable, safe while all runs.

    reap(owner)     a dead owner: its leftovers ended, its finished work rolled forward, its jobs given back,
                    its unregistered arrivals adopted
    reconcile()     rows whose payload may not be where they say, files that no row explains
    rebuild()       the index from the tree alone

One table of cases decides, by what the row says and what files exist; spool/README.md prints it. Nothing here
trusts a process to have finished anything: the next step of each protocol is told by the row and the tree.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from pqfs import naming
from pqfs.clock import Clock
from pqfs.errors import IndexGone, Rejected, Unavailable, VolumeFault
from pqfs.events import Word, emit, trouble
from pqfs.index import Settlement
from pqfs.index.schedulerows import known_notes
from pqfs.jobqueue import JobQueue
from pqfs.model import FINAL, Arrival, Job, Kind, Outcome, Place, State
from pqfs.naming import Claimed, Parked
from pqfs.owners import Owners
from pqfs.rebuild import Rebuild
from pqfs.retry import Budget
from pqfs.slot import Running, read_slot
from pqfs.witness import Witness

_CHUNK = 500
_META_AGE = 3600.0  # a meta file is written before its payload moves in; an hour later it never will


@dataclass(frozen=True, slots=True)
class Repairs:
    """What a recovery did."""

    released: int = 0
    crashed: int = 0
    rolled_forward: int = 0
    adopted: int = 0
    moved: int = 0
    lost: int = 0
    stuck: int = 0

    def __add__(self, other: Repairs) -> Repairs:
        names = self.__slots__
        return Repairs(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to do."""
        return self == Repairs()


class Recovery:
    """Repairs one spool. Any number may run at once."""

    def __init__(self, jobqueue: JobQueue, owners: Owners, clock: Clock, boot_id: str) -> None:
        self._jobqueue = jobqueue
        self._spool = jobqueue.spool
        self._index = jobqueue.index
        self._owners = owners
        self._clock = clock
        self._boot_id = boot_id
        self._witness = Witness(self._spool, jobqueue.settings)
        self._ids = naming.JobIds()
        self._adopted: set[str] = set()  # arrivers whose directories hold registered payloads only

    # ---------------------------------------------------------------- the dead

    def dead_owners(self) -> list[str]:
        """Owners whose death is proved and that left anything: a lock, a row, jobs, files."""
        named = set(self._owners.names())
        named.update(consumer.owner for consumer in self._index.consumers())
        named.update(self._index.owners_at_work())
        named.update(set(self._spool.entries("ready")) - self._adopted)
        named.update(self._spool.entries("work"))
        return sorted(owner for owner in named if self._owners.is_dead(owner))

    def reap(self, owner: str) -> Repairs:
        """Take over everything that a dead owner left. It must be dead: ask `dead_owners`.

        The order matters: first nobody writes into its scratch any more, then its rows decide, and only when
        no row and no file names it is its name forgotten.
        """
        self._owners.end_leftovers(owner)
        running = self._charged(owner)
        repairs = Repairs()
        for job in self._index.unconfirmed_of(owner):
            repairs += self._alone(job.id, partial(self._take_over, job, running))
        if repairs.stuck:
            return repairs  # its scratch and its name stay, and it is reaped again
        repairs += self._publish_late(owner)
        if not self._clear_scratch(owner):
            return repairs + Repairs(stuck=1)
        self._clear_asides()
        repairs += self._adopt(owner)
        with self._index.transaction():
            self._index.forget_consumer(owner)
        if owner in self._adopted:
            self._owners.forget(owner)
        # Crash here (anywhere above): the lock file is still there and free, so the owner is reaped again.
        if not repairs.is_empty:
            emit(
                Word.REAPED,
                owner=owner,
                **{name: n for name in Repairs.__slots__ if (n := getattr(repairs, name))},
            )
            self._jobqueue.ring()
        return repairs

    def _clear_scratch(self, owner: str) -> bool:
        """Remove what the attempts of a dead owner have written. False: some of it is still to be published.

        Race: who was declared dead and goes on (another machine, a stopped one) claims anew before its row is
        forgotten. What it writes for that lease is not ours to remove, and it is no longer dead.
        """
        place = f"work/{owner}"
        for name in self._spool.entries(place, hidden=True):
            scratch = naming.parse_scratch(name)
            job = self._index.job(scratch.job) if scratch else None
            if not (job and scratch and _is_wanted(job, owner, scratch.attempt)):
                self._spool.remove_tree(f"{place}/{name}")
        found = self._spool.status(place)
        if found and not stat.S_ISDIR(found.st_mode):  # a handler has put something else there
            return self._spool.remove(place)
        return found is None or self._spool.remove_directory(place)

    def _clear_asides(self) -> None:
        """Finish what the dead, whoever they are, were about to drop: it may be the ghost of what is adopted next."""
        now = self._clock.now()
        for owner in filter(self._owners.is_dead, self._spool.droppers()):
            self._spool.clear_aside(owner, self._ids.next(now), now)

    def _alone(self, job: str, repair: Callable[[], Repairs]) -> Repairs:
        """Repair one job. What can not be done now (another file in the way, an I/O error) holds up no other job."""
        try:
            return repair()
        except (IndexGone, VolumeFault, Unavailable):
            raise
        except Exception:  # noqa: BLE001 -- whatever is wrong with one job must not hold up the others
            trouble(f"repairing job {job}")
            return Repairs(stuck=1)

    def _charged(self, owner: str) -> Running | None:
        """The attempt that ran when its consumer died, if the death may be its fault: not across a boot.

        Race: a loss of power may take the lock file, which tells the boot, and leave the slot: nobody is charged.
        """
        facts = self._owners.facts(owner)
        if facts is None or facts.boot_id != self._boot_id:
            return None
        return read_slot(self._spool.path(f"run/{owner}.slot"))

    def _take_over(self, job: Job, running: Running | None) -> Repairs:
        if job.state is not State.PROCESSING:
            return self._put_in_place(job)
        staged = self._spool.exists(self._spool.scratch_path(str(job.owner), job.id, job.attempt, "out"))
        ran = running is not None and (running.job, running.attempt) == (job.id, job.attempt)
        started = not self._spool.exists(self._spool.payload_path(job, Place.READY))
        if ran and not staged:
            outcome = Outcome(Kind.CRASHED, f"its consumer {job.owner} died while it ran", started_at=job.updated_at)
        elif started:
            outcome = Outcome(Kind.LOST, f"its consumer {job.owner} died before it was recorded")
        else:
            outcome = Outcome(Kind.RELEASED, f"its consumer {job.owner} died before it started")
        return self._give_back(job, outcome)

    def _publish_late(self, owner: str) -> Repairs:
        """Outputs that are staged although their rows are confirmed: power was lost before the renames lasted."""
        published = 0
        for name in self._spool.entries(f"work/{owner}"):
            scratch = naming.parse_scratch(name)
            job = self._index.job(scratch.job) if scratch and scratch.suffix == "out" else None
            if (
                job
                and scratch
                and job.state is State.COMPLETED
                and (job.owner, job.attempt) == (owner, scratch.attempt)
            ):
                published += self._roll_forward(job)
        return Repairs(rolled_forward=published)

    def _give_back(self, job: Job, outcome: Outcome) -> Repairs:
        if job.cancel_by is not None:
            outcome = Outcome(Kind.CANCELLED, job.cancel_by)
        settled = self._jobqueue.revoke(job, outcome, self._clock.now())
        if settled is None:
            return Repairs()
        if not self._spool.settle(settled):
            return self.mourn(settled)
        self._jobqueue.confirm([settled])
        crashed = outcome.kind is Kind.CRASHED
        return Repairs(crashed=int(crashed), released=int(not crashed))

    # ---------------------------------------------------------------- rows against files

    def _put_in_place(self, job: Job) -> Repairs:
        """A row that nobody runs and whose payload may be elsewhere: move it to where the row says.

        Race: its keeper, or another janitor, is quicker than we, and the job may even run again by now. So the
        row is read again before its payload is moved, and before it is declared lost.
        """
        if self._index.job(job.id) != job:
            return Repairs()
        forward = job.state is State.COMPLETED and self._roll_forward(job)
        found = self._gather(job)
        if job.place is Place.GONE and not self._jobqueue.is_to_stay(job):
            self._jobqueue.erase(job)  # a tombstone: its deletion was interrupted
            return Repairs(moved=1)
        if not found:
            return self.mourn(job) if self._index.job(job.id) == job else Repairs()
        self._jobqueue.confirm([job])
        return Repairs(rolled_forward=int(forward), moved=int(not forward))

    def _gather(self, job: Job) -> bool:
        """Bring a payload to its place; durably where it may come from one that nobody looks through."""
        if job.place is Place.GONE:
            self._spool.discard_for_good(job)  # once it is confirmed, nobody looks for it before its period is over
            return True
        return self._spool.settle_for_good(job) if job.place is Place.READY else self._spool.gather(job)

    def _roll_forward(self, job: Job) -> bool:
        """A committed output that was not published: publish it under the name in its row."""
        staged = self._spool.scratch_path(str(job.owner), job.id, job.attempt, "out")
        if not self._spool.exists(staged):
            return False
        self._spool.publish(str(job.owner), job)
        emit(Word.ROLLED_FORWARD, job=job.id, output=job.output)
        return True

    def mourn(self, job: Job) -> Repairs:
        """A row whose payload is nowhere that it could wait: completed after all, claimed in vain, or lost."""
        if self._bring_back(job):
            return Repairs(moved=1)
        if job.state in (State.PENDING, State.HELD) and self.was_completed(job):
            return Repairs(moved=1)
        emit(Word.PAYLOAD_LOST, job=job.id, state=job.state, name=naming.printable(job.name))
        now = self._clock.now()
        with self._index.transaction():
            if job.state in (State.PENDING, State.HELD):
                error = "payload lost: its file is nowhere in the spool"
                budget = Budget(job.failures, job.crashes, job.losses)
                lost = self._index.steer(Settlement(job, State.FAILED, budget, now, error), now)
                self._index.confirm([lost] if lost else [])
            else:
                self._index.confirm([job])
            self._index.add_event(now, "recovery", "payload lost", job=job.id, before=job.state)
        return Repairs(lost=1)

    def _bring_back(self, job: Job) -> bool:
        """A payload under an attempt that its row does not know: a loss of power has taken that claim back.

        Race: the attempt may have been granted since the row was read. So it is read again after the tree.
        """
        for path, name in list(self._spool.payloads()):
            if not (isinstance(name, Claimed) and name.job == job.id and name.attempt > job.attempt):
                continue
            if self._index.job(job.id) == job and self._spool.move(path, self._spool.payload_path(job)):
                emit(Word.RECONCILED, job=job.id, found=path, place=job.place)
                self._gather(job)
                self._jobqueue.confirm([job])
                return True
        return False

    def was_completed(self, job: Job) -> bool:
        """Whether the payload lies in done/: then the index is older than the tree (a restored backup).

        It must not run again: its output has been published.
        """
        witness = Witness(self._spool, self._jobqueue.settings)
        for path, name in self._spool.payloads():
            if name.job == job.id and path.startswith("done/") and (told := witness.job(path, name)):
                told = replace(told, error="completed, as the tree tells; this index was older than the tree")
                with self._index.transaction():
                    amended = self._index.amend(job, told)
                emit(Word.RECONCILED, job=job.id, found=path, state=told.state)
                return amended
        return False

    def reconcile(self) -> Repairs:
        """Everything that is not as it should be and that no living owner will see to."""
        repairs = Repairs()
        self._witness = Witness(self._spool, self._jobqueue.settings)  # of the outbox as it is now
        for job in self._index.unconfirmed(_CHUNK):
            if not self._has_keeper(job):
                repairs += self._alone(job.id, partial(self._put_in_place, job))
        for name in self._spool.entries("claimed"):
            repairs += self._explain_claimed(name)
        self._sweep_meta()
        self.sweep_directories()
        if repairs.moved or repairs.adopted:
            self._jobqueue.ring()  # what was on its way back can be claimed from now on
        return repairs

    def sweep_directories(self) -> None:
        """Remove the empty directories of arrivers that are dead and adopted."""
        for arriver in sorted(self._adopted):
            if self._spool.remove_directory(f"ready/{arriver}") or not self._spool.exists(f"ready/{arriver}"):
                self._adopted.discard(arriver)

    def _has_keeper(self, job: Job) -> bool:
        """Whether the owner that settled a row lives and will put its payload away itself."""
        recent = 0.0 <= self._clock.now() - job.updated_at < 2.0  # below 0 the clock was set back
        return job.owner is not None and recent and not self._owners.is_dead(job.owner)

    def _explain_claimed(self, name: str) -> Repairs:
        """A payload in claimed/ whose row says otherwise: a late rename of a consumer that had lost its lease."""
        claimed = naming.parse_claimed(name)
        job = self._index.job(claimed.job) if claimed else None
        if claimed is None or job is None:
            return self._register_claimed(name, claimed) if claimed else Repairs()
        if job.state is State.PROCESSING or not job.confirmed:
            return Repairs()
        return self.bring_home(f"claimed/{name}", job)

    def bring_home(self, path: str, job: Job) -> Repairs:
        """A payload that is not where its confirmed row says: a zombie's late rename, or power undid a move."""
        if job.place is Place.GONE:
            moved = self._spool.remove(path)
        else:
            here, there = self._spool.status(path), self._spool.status(self._spool.payload_path(job))
            if here is None:
                return Repairs()  # moved by its consumer since the directory was listed
            if there and not os.path.samestat(here, there):
                return Repairs()  # two files: fsck explains it, nobody guesses
            moved = self._spool.move(path, self._spool.payload_path(job))
        if moved:
            emit(Word.RECONCILED, job=job.id, found=path, place=job.place)
        return Repairs(moved=int(moved))

    def _register_claimed(self, name: str, claimed: Claimed) -> Repairs:
        """A payload in claimed/ that the index has never seen: the index was lost; it may have been published."""
        job = self._witness.job(f"claimed/{name}", claimed)
        if job is None:
            return Repairs()
        with self._index.transaction():
            self._index.restore(job)
            self._jobqueue.duplicates.remember([job])
        self._spool.settle(job)
        self._jobqueue.confirm([job])
        emit(Word.ADOPTED, job=job.id, found=f"claimed/{name}", state=job.state)
        return Repairs(adopted=1)

    def _sweep_meta(self) -> None:
        now = self._clock.now()
        notes = known_notes(self._index)
        for name in self._spool.entries("meta", hidden=True):
            job, is_note = naming.parse_meta(name), naming.is_note(name)
            found = self._spool.status(f"meta/{name}")
            old = found is not None and now - found.st_mtime > _META_AGE
            is_scratch = job is None and name.endswith(".tmp")
            is_late = is_note and f"meta/{name}" not in notes
            if old and (
                is_scratch or is_late or (job and self._index.job(job) is None and not self._spool.find(job))
            ):
                self._spool.remove(f"meta/{name}")

    # ---------------------------------------------------------------- files without rows

    def _adopt(self, arriver: str) -> Repairs:
        """Register the payloads of a dead arriver that it renamed but did not commit.

        Its directory stays while registered payloads wait in it, and is looked through only once. A payload
        that somebody still writes is asked for again at the next pass.
        """
        names = self._spool.entries(f"ready/{arriver}")
        found = [(parked, self._index.job(parked.job)) for name in names if (parked := naming.parse_parked(name))]
        unregistered = [parked for parked, job in found if job is None]
        repairs = Repairs()
        for parked in unregistered:
            repairs += self._alone(parked.job, partial(self._adopt_one, arriver, parked))
        if repairs.adopted == len(unregistered):
            self._adopted.add(arriver)
        for parked, job in found:
            if job and job.state in FINAL and job.confirmed:
                repairs += self.bring_home(self._spool.ready_path(arriver, parked), job)
        return repairs

    def _adopt_one(self, arriver: str, parked: Parked) -> Repairs:
        path = self._spool.ready_path(arriver, parked)
        arrival, now = self._witness.arrival(path, parked), self._clock.now()
        if arrival is None and self._spool.exists(path):
            self._jobqueue.refuse(arriver, parked, "it is not a regular file", now)
            return Repairs(adopted=1)
        if arrival is None:
            return Repairs()
        if self._spool.drop_refused(path, arrival.name, parked.job):
            return Repairs(adopted=1)
        origins = self._unghost(path, arrival)
        try:
            complete = self._jobqueue.ask_again(arriver, arrival, now)
        except Rejected as error:
            self._jobqueue.refuse(arriver, parked, error.message, now)
            return Repairs(adopted=1)
        if complete is None:
            return Repairs()
        if self._spool.alarm.exists():
            self._spool.copy_anew(path, origins)
        for twin in self._jobqueue.ingest(arriver, [complete], origins, now):
            if twin.is_turned_away:
                self._jobqueue.turn_away(arriver, twin, now)
                return Repairs(adopted=1)
        emit(Word.ADOPTED, job=parked.job, found=path)
        return Repairs(adopted=1)

    def _unghost(self, path: str, arrival: Arrival) -> list[str]:
        """Remove the other end of a move that a loss of power took apart; the directories it may have been in.

        Once the job has run and its input is gone, nothing would tell any more that the name is a ghost, and the
        file would be taken a second time.
        """
        name = os.fsdecode(arrival.name)
        here = self._spool.status(path)
        origins = [f"inbox/{arrival.queue}/{name}", f"inbox/{name}"]
        for origin in origins:
            there = self._spool.status(origin)
            if here and there and os.path.samestat(here, there) and self._spool.remove(origin):
                emit(Word.RECONCILED, ghost=origin)
        found = {directory: self._spool.status(directory) for directory in map(os.path.dirname, origins)}
        return [directory for directory, is_it in found.items() if is_it and stat.S_ISDIR(is_it.st_mode)]

    # ---------------------------------------------------------------- rebuild

    def rebuild(self, progress: Callable[[int], None] = lambda count: None) -> dict[State, int]:
        """Register every payload of the tree that the index does not know: how many came back in each state.

        What is in claimed/ may already have been published, so it comes back *held* with a note, where the outbox
        does not tell. Attempts, budgets and events are not in the tree and start anew.
        """
        return Rebuild(self._jobqueue, self._owners, self._clock).run(progress)


def _is_wanted(job: Job, owner: str, attempt: int) -> bool:
    """Whether what an owner's attempt has written is still to be published, by the owner itself."""
    at_work = job.state is State.PROCESSING or (job.state is State.COMPLETED and not job.confirmed)
    return at_work and (job.owner, job.attempt) == (owner, attempt)
