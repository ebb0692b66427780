"""Recovery and upkeep: notices deaths at once, gives the dead's work back, keeps places and periods.

Deaths are noticed through pidfds, without polling; every few seconds it also looks at every owner, every row
whose payload may be elsewhere and every entry of claimed/. The only process that deletes other people's files.

Trust: believes kernel locks, then rows, then the tree. Known weakness: where there are no pidfds (macOS) a
death is noticed by the periodic look.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Protocol

from pqfs.assignments import Assignments
from pqfs.clock import Clock, parse_day
from pqfs.custody import begin_era
from pqfs.doorbell import Bell
from pqfs.errors import IndexGone, Unavailable, explained
from pqfs.events import Word, emit, trouble
from pqfs.firing import Firing
from pqfs.hosts import DUTY
from pqfs.index.audit import Audit
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Place
from pqfs.naming import parse_parked
from pqfs.owners import Life, Owners
from pqfs.queueing import Queueing
from pqfs.recovery import Recovery, Repairs
from pqfs.retention import KEPT_AS, InputsKept, outdated
from pqfs.runtime import Pause, Stop
from pqfs.slot import read_slot_beat
from pqfs.symptoms import LOOK_EVERY
from pqfs.vigil import Vigil

_SOON = 0.05  # seconds until the next chunk of upkeep
_PAUSE = 1.0  # seconds until the next try after trouble with the machine
_UPKEEP_EVERY = 60.0
_MOMENT = 1.0  # seconds in which a consumer that was only asleep, with the whole machine, beats again
_CHUNK = 500  # rows or files a pass: a transaction stays far below what a claim waits for


class _Death:
    """A pidfd to wait on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


class Checkup(Protocol):
    """What is done around each look: the rules of health are held against the spool, and the pulse beats."""

    def begin(self) -> None:
        """A look begins."""

    def make(self, done: Mapping[str, int]) -> None:
        """A look has ended well; so much has been `done` since this process began, by kind."""

    def complain(self, error: Exception) -> None:
        """A look has failed."""


class Janitor:
    """One janitor; several do no harm."""

    def __init__(
        self, jobqueue: JobQueue, recovery: Recovery, owners: Owners, clock: Clock, me: str, boot_id: str
    ) -> None:
        self._jobqueue = jobqueue
        self._index = jobqueue.index
        self._spool = jobqueue.spool
        self._recovery = recovery
        self._assignments = Assignments(jobqueue, owners, clock)
        self._queueing = Queueing(jobqueue)
        self._firing = Firing(jobqueue, clock)
        self._owners = owners
        self._clock = clock
        self._me = me
        self._boot_id = boot_id
        self._watched: dict[str, _Death] = {}
        self._known: set[str] = set()
        self._leads = True
        self._look_at = 0.0
        self._upkeep_at = 0.0
        self._pause = Pause("looking after the spool")
        self._vigil = Vigil(jobqueue.spool, jobqueue.index, clock)
        self._done = Counter(dict.fromkeys(("reaped", "purged", "upkeep", "scheduled"), 0))
        self._silent_since: dict[str, float] = {}  # consumers that were silent at the last look, and since which one

    def run(self, stop: Stop, bell: Bell, checkup: Checkup) -> None:
        """Look after the spool until asked to stop: at every death, and every few seconds.

        The bell rings when there is a new owner to watch.
        """
        self._look_at = 0.0
        while not stop.requested:
            try:
                self._turn(stop, bell, checkup)
                self._pause.say(None)
            except IndexGone:
                raise
            except Exception as error:  # noqa: BLE001 -- the top of the loop: log, wait, go on
                self._pause.blame(error)
                self._complain(checkup, error)
                stop.wait(_PAUSE)
        for death in self._watched.values():
            death.close()

    def _complain(self, checkup: Checkup, error: Exception) -> None:
        try:
            checkup.complain(explained(error) or error)
        except OSError:
            trouble("examining the spool")  # what keeps us from our work keeps us from this, too

    def _turn(self, stop: Stop, bell: Bell, checkup: Checkup) -> None:
        self._vigil.look()
        if self._clock.boottime() >= self._look_at:
            checkup.begin()
            self._done.update(asdict(self.look()))
            has_more = self._upkeep_if_due()
            checkup.make(self._done)
            self._look_at = self._clock.boottime() + self._next_look(has_more)
        if self._watch_owners():
            self._look_at = 0.0
        ready = stop.wait(self._look_at - self._clock.boottime(), [bell, *self._watched.values()])
        bell.hear()
        if any(death.fileno() in ready for death in self._watched.values()):
            self._look_at = 0.0

    def _next_look(self, has_more: bool) -> float:
        """Seconds until then: soon where upkeep has more to do, somebody may be hung, or a schedule is due."""
        if has_more:
            return _SOON
        in_doubt = bool(self._silent_since) or self._owners.is_in_doubt
        usual, due = _MOMENT if in_doubt else LOOK_EVERY, self._firing.next_at if self._leads else None
        return usual if due is None else min(usual, max(_SOON, due - self._clock.now()))

    # ---------------------------------------------------------------- deaths

    def look(self) -> Repairs:
        """Reap the dead, end the hung, make rows and files agree.

        Of several hosts' janitors one leads, another when it is gone; the others see to their own hosts, and watch.
        Two that lead for a moment do each other no harm: the rows tell whether what one is about to do is still due.
        """
        leads = self._leads = self._index.engine.leads(DUTY, self._jobqueue.settings.host)
        self._end_hung()
        dead = self._recovery.dead_owners()
        repairs = sum(map(self._reap, (each for each in dead if leads or self._owners.is_of_here(each))), Repairs())
        if not leads:
            self._recovery.sweep_directories()
            return repairs
        self._assignments.look()
        self._queueing.look(self._clock.now())
        self._done["scheduled"] += self._firing.look()
        return repairs + self._recovery.reconcile()

    def look_until_sure(self, stop: Stop) -> None:
        """Look once; again and again while the death of somebody on another host is not proved yet."""
        self.look()
        while self._owners.is_in_doubt and not stop.requested:
            stop.wait(_MOMENT)
            self.look()

    def _reap(self, owner: str) -> Repairs:
        """Reap one owner; what is wrong with it holds up no other."""
        self._forget_watch(owner)
        try:
            done = self._recovery.reap(owner)
            self._done["reaped"] += not done.is_empty
            return done
        except (IndexGone, Unavailable):
            raise
        except Exception:  # noqa: BLE001 -- the owner keeps its lock file and is reaped again at the next look
            trouble(f"reaping {owner}")
            return Repairs(stuck=1)

    def _end_hung(self) -> None:
        """A local consumer that holds its lock but has not beaten for a lease is stopped or hung: end it.

        Its age is measured in boot time, so that no step of the wall clock makes a living one look dead. It beats in
        its slot as well: a full disk or a busy index keeps it from renewing its lease, and is not its death.
        Race: the machine slept longer than a lease, and we wake up before the consumers can beat. So who is
        silent is ended only if it still is a moment later.
        """
        now = self._clock.boottime()
        silent_since: dict[str, float] = {}
        for consumer in self._index.consumers():
            silent = now - max(consumer.beat_boottime, self._beat_in_slot(consumer.owner))
            is_ours = consumer.boot_id == self._boot_id
            if not (is_ours and silent > consumer.lease and self._owners.life(consumer.owner) is Life.ALIVE):
                continue
            noticed = silent_since[consumer.owner] = self._silent_since.get(consumer.owner, now)
            if now - noticed >= _MOMENT:
                emit(Word.HUNG, owner=consumer.owner, silent=silent)
                self._owners.kill(consumer.owner)
        self._silent_since = silent_since

    def _beat_in_slot(self, owner: str) -> float:
        return read_slot_beat(self._jobqueue.spool.path(f"run/{owner}.slot"))

    def _watch_owners(self) -> bool:
        """Hold a pidfd of every living owner, so that its death wakes us; whether a new one is dead already."""
        names = set(self._owners.names())
        new = names - self._known - {self._me}
        for owner in new:
            descriptor = self._owners.open_pidfd(owner)
            if descriptor is not None:
                self._watched[owner] = _Death(descriptor)
        for owner in self._watched.keys() - names:
            self._forget_watch(owner)
        self._known = names
        return any(self._owners.is_dead(owner) for owner in new)

    def _forget_watch(self, owner: str) -> None:
        death = self._watched.pop(owner, None)
        if death is not None:
            death.close()

    # ---------------------------------------------------------------- upkeep

    def _upkeep_if_due(self) -> bool:
        """Retention and a new era (who leads), and checkpoint, once a minute; whether there is more to do at once."""
        if self._clock.boottime() < self._upkeep_at:
            return False
        purged = self.purge() if self._leads else 0
        self._done["purged"] += purged
        if purged >= _CHUNK:
            return True
        if self._leads:
            begin_era(self._spool, self._index)
        logged, moved = self._index.engine.checkpoint()
        emit(Word.CHECKPOINT, logged=logged, moved=moved)
        self._spool.keep_ballast(int(self._jobqueue.settings.low_water))
        self._upkeep_at = self._clock.boottime() + _UPKEEP_EVERY
        self._done["upkeep"] += 1
        return False

    def purge(self) -> int:
        """Remove what is no longer kept, at most one chunk; how much. It may take the ballast to begin with."""
        return self._spool.make_room(self._purge)

    def _purge(self) -> int:
        now = self._clock.now()
        removed = 0
        for job in self._to_let_go(now):
            self._let_go(job)
            removed += 1
        for job in self._to_forget(now):
            removed += bool(self._jobqueue.delete(job, "janitor", "retention", now))
        removed += self._purge_rejected(now)
        self._forget_the_oldest(now)
        if removed:
            emit(Word.PURGED, count=removed)
        return removed

    def _to_let_go(self, now: float) -> Iterator[Job]:
        """Completed jobs whose input has been kept long enough: the tree is the work list, a day a directory."""
        kept_since = InputsKept(self._jobqueue.terms, now)
        left = _CHUNK
        for date in self._spool.entries("done"):
            if parse_day(date) is None or not kept_since.may_go(date) or left <= 0:
                continue
            names = self._spool.entries(f"done/{date}")
            if not names:
                self._spool.remove_directory(f"done/{date}")
            for parked in filter(None, map(parse_parked, names)):
                job = self._index.job(parked.job) if left > 0 and kept_since.may_go(date, parked.queue) else None
                if job and kept_since.is_over(job):
                    left -= 1
                    yield job

    def _let_go(self, job: Job) -> None:
        """Tombstone, unlink, confirm; once more where a loss of power has brought the file back."""
        with self._index.transaction():
            self._index.let_go(job.id)
        # Crash here: an unconfirmed row that says gone; reconcile removes the file and confirms.
        self._spool.remove(self._spool.payload_path(job, Place.DONE))
        with self._index.transaction():
            self._index.confirm_gone(job.id)

    def _to_forget(self, now: float) -> Iterator[Job]:
        for state in KEPT_AS:
            yield from outdated(self._index, self._jobqueue.terms, state, now, _CHUNK)

    def _purge_rejected(self, now: float) -> int:
        keep = self._jobqueue.settings.keep.seconds("rejected")
        if keep == float("inf"):
            return 0
        removed = 0
        for name in self._spool.entries("rejected"):
            if removed >= 2 * _CHUNK:
                break
            found = self._spool.status(f"rejected/{name}")
            if found and now - found.st_ctime > keep:
                self._spool.remove_tree(f"rejected/{name}")
                removed += 1
        return removed

    def _forget_the_oldest(self, now: float) -> None:
        """Figures and events that are older than rows are kept. A pass makes no more events than it may remove."""
        rows = self._jobqueue.settings.keep.seconds("rows")
        if rows != float("inf"):
            with self._index.transaction():
                self._index.forget_stats(now - rows)
                Audit(self._index.engine).forget(now - rows, 4 * _CHUNK)
