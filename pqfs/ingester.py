"""inbox/ -> ready/ + index: notices files, waits until they are complete, makes them jobs.

Events only say *look now*; the listing is the truth. A sweep runs at start, after every event, every few
seconds, and again while the last one found something. When sweeps find much, the watch is dropped and the
inbox swept until a pass takes nothing; then the watch is armed and one more sweep made: interrupts when idle,
polling when busy.

Trust: everything below inbox/ was written by strangers. It is listed through descriptors, opened without
following links or blocking, and judged by its descriptor. Writes: ready/<me>/, meta/, rejected/, index rows.
Deletes nothing but sidecars it has read and empty directories.
"""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from pqfs import naming
from pqfs.assembly import Assembly, Bench
from pqfs.clock import Clock
from pqfs.doorbell import Bell
from pqfs.duplicates import Twin
from pqfs.errors import IndexGone, PqfsError, Rejected, Unavailable, VolumeFault, explained
from pqfs.events import Word, emit
from pqfs.ghosts import Ghosts
from pqfs.inbox import Entry, Inbox, Judgement, Verdict
from pqfs.intake import ITS_OWN, Intake
from pqfs.jobqueue import JobQueue, Taken
from pqfs.model import Arrival
from pqfs.naming import JobIds, Parked
from pqfs.pulse import Pulse
from pqfs.quota import Quotas
from pqfs.runtime import Pause, Stop
from pqfs.sidecar import Sidecar
from pqfs.sidecars import Sidecars, Wait, mark_of
from pqfs.tracing import trace_of
from pqfs.vigil import Vigil
from pqfs.watch import Watch

_MANY = 64  # a sweep that takes this many drops the watch
_PATIENCE, _LISTINGS = 2.0, 8  # after so many seconds of taking, or listings' time, the inbox is listed anew
_PAUSE = 1.0  # seconds until the next try after trouble with the machine


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that waits in the inbox: why, since when (boot time), and how long it may for that reason (seconds)."""

    name: str
    reason: str
    since: float
    limit: float | None = None

    @property
    def due(self) -> float:
        """When it should have gone."""
        return self.since + (self.limit or 0.0)


@dataclass(slots=True)
class Sweep:
    """What one pass over the inbox did, and when the next look is due at the latest (seconds)."""

    taken: int = 0
    waiting: int = 0
    rejected: int = 0
    next_look: float = field(default=float("inf"))
    longest: Waiting | None = None
    trouble: str | None = None

    def wait(self, judgement: Judgement) -> None:
        """Count something that must wait."""
        self.waiting += 1
        self.next_look = min(self.next_look, max(0.05, judgement.retry_in))


class Ingester:
    """One ingester. Several may run on one spool: whoever wins the rename has the file."""

    def __init__(
        self, jobqueue: JobQueue, inbox: Inbox, owner: str, clock: Clock, pulse: Pulse | None = None
    ) -> None:
        self._jobqueue = jobqueue
        self._settings = jobqueue.settings
        self._terms = jobqueue.terms
        self._inbox = inbox
        self._owner = owner
        self._clock = clock
        self._pulse = pulse
        self._blind: dict[str, Any] | None = None
        self._longest: Waiting | None = None
        self._ids = JobIds()
        self._intake = Intake(jobqueue, owner, clock, self._ids)
        bench = Bench(owner, self._ids, clock, lambda arrival: self._unsettled.append(arrival), self._beat)
        self._sets = Assembly(jobqueue, inbox, self._intake, bench)
        self._sidecars = Sidecars(jobqueue, inbox, self._intake, clock)
        self._ghosts = Ghosts(jobqueue.spool, inbox, self._intake, clock)
        self._quotas = Quotas(jobqueue.index, jobqueue.terms, clock.now())
        self._unsettled: list[Arrival] = []
        self._empty_since: dict[bytes, float] = {}
        self._stuck: set[bytes] = set()
        self._is_paused = False
        self._pause = Pause("sweeping the inbox")
        self._vigil = Vigil(jobqueue.spool, jobqueue.index, clock)
        jobqueue.spool.make_directory(f"ready/{owner}")

    # ---------------------------------------------------------------- loop

    def run(self, stop: Stop, bell: Bell, watch: Watch) -> None:
        """Ingest until asked to stop."""
        while not stop.requested:
            sweep = self._sweep_safely(bell)
            is_armed = watch.is_armed
            self._tell(sweep, watch)
            if sweep.taken and (sweep.taken >= _MANY or not is_armed):
                watch.disarm()
                continue
            if not is_armed and watch.arm():
                continue  # what came before the watch was armed is seen by one more sweep
            watch.probe()
            stop.wait(min(sweep.next_look, self._rhythm(watch)), [bell, watch])
            watch.hear()

    def _rhythm(self, watch: Watch) -> float:
        """Seconds between two sweeps of an inbox in which nothing is known to happen."""
        ingest = self._settings.ingest
        return min(ingest.sweep_every, ingest.poll_every) if watch.is_polling else ingest.sweep_every

    def _sweep_safely(self, bell: Bell) -> Sweep:
        try:
            bell.hear()
            self._vigil.look()
            sweep = self.sweep()
            self._pause.say(None)
            return sweep
        except (VolumeFault, IndexGone):
            raise  # this process ends; the janitor adopts what it leaves, by copying, while the alarm stands
        except Exception as error:  # noqa: BLE001 -- the top of the loop: log, wait, go on
            self._pause.blame(error)
            return Sweep(next_look=_PAUSE, trouble=str(explained(error) or error))

    def _tell(self, sweep: Sweep, watch: Watch) -> None:
        """Say, for whoever asks after the health, that a sweep was made, and what waits and whether we see."""
        self._note_blindness(watch)
        if sweep.trouble and self._pulse:
            self._pulse.complain(sweep.trouble, blind=self._blind)
        elif not sweep.trouble:
            self._longest = sweep.longest
            self._beat()

    def _note_blindness(self, watch: Watch) -> None:
        if watch.blindness:
            began = self._blind["at"] if self._blind and not self._blind["is_over"] else self._clock.boottime()
            self._blind = {"cause": watch.blindness, "at": began, "is_over": False}
        elif self._blind and not self._blind["is_over"]:
            self._blind = {**self._blind, "at": self._clock.boottime(), "is_over": True}

    def _beat(self, doing: str | None = None) -> None:
        if self._pulse:
            self._pulse.note(barriers=self._jobqueue.spool.pace.told())
            waiting = asdict(self._longest) if self._longest else None
            self._pulse.beat(doing, blind=self._blind, waiting=waiting, quotas=self._quotas.refusals[:3])

    def drain(self, patience: float) -> int:
        """Sweep until nothing more can be taken, at most `patience` seconds after the last arrival; how many."""
        taken = 0
        deadline = self._clock.boottime() + patience
        while True:
            sweep = self.sweep()
            self._beat()
            taken += sweep.taken
            if not sweep.taken and (not sweep.waiting or self._clock.boottime() >= deadline):
                return taken
            if not sweep.taken:
                time.sleep(min(sweep.next_look, 0.1))

    # ---------------------------------------------------------------- one sweep

    def sweep(self) -> Sweep:
        """Look at everything in the inbox once and take what is complete, in order of mtime and name."""
        sweep = Sweep()
        if self._has_no_room():
            sweep.next_look = 1.0
            return sweep
        self._ask_unsettled_again(sweep)
        known = self._queues()
        began = self._clock.boottime()
        entries, empty = self._inbox.entries(known)
        payloads = _in_turn(self._sidecars.split(self._sets.split(entries, known), known))
        self._take_all(payloads, sweep, began)
        self._take_sets(sweep)
        self._ghosts.lay()
        sweep.rejected += self._sidecars.judge_lone(payloads)
        self._remove_empty(empty)
        return sweep

    def _take_all(self, payloads: Sequence[Entry], sweep: Sweep, began: float) -> None:
        """Take what can be taken, in batches, and not for long: what came meanwhile must not wait for a flood."""
        self._quotas = Quotas(self._jobqueue.index, self._terms, self._clock.now())
        now, batch = self._clock.boottime(), self._settings.ingest.batch
        until = now + max(_PATIENCE, _LISTINGS * (now - began))
        for first in range(0, len(payloads), batch):
            self._take_batch(payloads[first : first + batch], sweep)
            if sweep.taken and self._clock.boottime() > until:
                sweep.next_look = 0.0
                break

    def _take_sets(self, sweep: Sweep) -> None:
        """Take the sets that are complete; not for long, either."""
        until = self._clock.boottime() + _PATIENCE
        for seen in self._sets.look(self._quotas):
            sweep.taken += seen.taken
            sweep.rejected += seen.rejected
            if seen.wait is not None:
                self._note_twin(seen.entry, seen.wait)
                self._wait(seen.entry, seen.wait, sweep, seen.limit)
            if seen.taken and self._clock.boottime() > until:
                sweep.next_look = 0.0
                break

    def _queues(self) -> frozenset[str]:
        """The names that make a directory a queue. With create_queues_by_mkdir any valid name does."""
        known = {queue.name for queue in self._terms.look()} | set(self._settings.queues) | self._terms.unread
        if self._settings.ingest.create_queues_by_mkdir:
            known |= self._make_queues(known)
        return frozenset(known)

    def _make_queues(self, known: set[str]) -> set[str]:
        made = set()
        for name in self._jobqueue.spool.entries("inbox"):
            found = self._jobqueue.spool.status(f"inbox/{name}")
            if name in known or found is None or not stat.S_ISDIR(found.st_mode):
                continue
            try:
                made.add(naming.check_queue(name))
            except PqfsError:
                continue
            with self._jobqueue.index.transaction():
                self._jobqueue.index.create_queue(name, self._clock.now())
        return made

    def _has_no_room(self) -> bool:
        low = self._jobqueue.spool.is_below(int(self._settings.low_water))
        if low != self._is_paused:
            emit(Word.PAUSED if low else Word.RESUMED, what="ingest", free=self._jobqueue.spool.free_bytes())
        self._is_paused = low
        return low

    def _take_batch(self, entries: Sequence[Entry], sweep: Sweep) -> None:
        with ExitStack() as descriptors:
            parents = self._open_parents(entries, descriptors)
            taken: list[Taken] = []
            try:
                for entry in entries:
                    if each := self._take_safely(entry, parents, sweep, descriptors):
                        taken.append(each)  # noqa: PERF401 -- what came before an error must be known
                settled = [
                    each for each in taken.copy() if self._is_settled(each) and self._is_sound(each, taken, sweep)
                ]
            except Exception:
                # What has left the inbox must not be forgotten because a later file failed.
                known = {each.id for each in self._unsettled}
                self._unsettled += [each.arrival for each in taken if each.arrival.id not in known]
                raise
            self._commit([each.arrival for each in settled], sorted({each.directory for each in settled}))
            for each in settled:
                if each.sidecar is not None:
                    self._sidecars.drop(each.directory, each.sidecar)
        sweep.taken += len(settled)

    def _commit(self, arrivals: Sequence[Arrival], directories: Sequence[int] | None) -> None:
        """Make these jobs. `directories` are descriptors of the folders that they lay in; None: nobody knows."""
        if not arrivals:
            return
        self._beat("making files durable")
        try:
            twins = self._jobqueue.ingest(self._owner, arrivals, directories, self._clock.now())
        except (Unavailable, OSError):
            # No room, or the index is busy: the files wait in ready/<me>/ and are committed by a later sweep.
            self._unsettled += arrivals
            raise
        away = {twin.arrival.id: twin for twin in twins if twin.is_turned_away}
        for arrival in arrivals:
            if arrival.id in away:
                self._turn_away(away[arrival.id])
            else:
                emit(
                    Word.INGESTED, job=arrival.id, queue=arrival.queue, name=naming.printable(arrival.name),
                    trace=trace_of(arrival.options),
                )  # fmt: skip

    def _turn_away(self, twin: Twin) -> None:
        """Refuse a duplicate; one that can not be moved now is asked again, and is a duplicate again."""
        try:
            self._jobqueue.turn_away(self._owner, twin, self._clock.now())
        except OSError:
            self._unsettled.append(twin.arrival)

    def _open_parents(self, entries: Sequence[Entry], descriptors: ExitStack) -> dict[bytes, int]:
        """A descriptor of each directory that holds an entry; none for a directory that went away."""
        parents: dict[bytes, int] = {}
        for entry in entries:
            above = os.path.dirname(entry.path)
            if above not in parents:
                try:
                    parents[above] = self._inbox.open_parent(entry)
                except OSError:
                    continue
                descriptors.callback(os.close, parents[above])
        return parents

    def _take_safely(
        self, entry: Entry, parents: dict[bytes, int], sweep: Sweep, descriptors: ExitStack
    ) -> Taken | None:
        """Take one entry. What is wrong with it alone must not hold up the others."""
        try:
            taken = self._take(entry, parents, sweep, descriptors)
        except OSError as error:
            if error.errno not in ITS_OWN:
                raise
            self._say_stuck(entry, str(error.strerror))
            self._wait(entry, Judgement(Verdict.WAIT, f"it can not be moved: {error.strerror}", 5.0), sweep)
            return None
        self._stuck.discard(entry.path)
        return taken

    def _say_stuck(self, entry: Entry, error: str) -> None:
        if entry.path not in self._stuck:
            emit(Word.STUCK, name=naming.printable(entry.path), error=error)
        self._stuck.add(entry.path)

    def _take(self, entry: Entry, parents: dict[bytes, int], sweep: Sweep, descriptors: ExitStack) -> Taken | None:
        """Judge one entry and act on it: a file on its way in, or None."""
        directory = parents.get(os.path.dirname(entry.path))
        if directory is None or self._has_no_quota(entry.queue, 0, sweep):
            return None
        judgement = self._inbox.judge(directory, entry, self._clock.boottime())
        if judgement.descriptor is not None and self._inbox.footing.asks_leases:
            descriptors.callback(os.close, judgement.descriptor)
        if judgement.verdict is Verdict.REJECT:
            sweep.rejected += self._intake.reject(directory, entry, judgement.reason)
        elif judgement.verdict is Verdict.WAIT:
            self._note_twin(entry, judgement)
            self._wait(entry, judgement, sweep)
        elif judgement.descriptor is not None:
            return self._accept(directory, entry, judgement, sweep)
        return None

    def _note_twin(self, entry: Entry, judgement: Judgement) -> None:
        """A file with a second name: that may be a ghost of a move of ours."""
        if judgement.found is not None and judgement.found.st_nlink == 2:
            self._ghosts.note(entry, judgement.found)

    def _wait(self, entry: Entry, judgement: Judgement, sweep: Sweep, limit: float | None = None) -> None:
        """Count a file that must wait, and keep the one that should have gone first."""
        sweep.wait(judgement)
        now = self._clock.boottime()
        since = now - self._inbox.waited(entry, now)
        waiting = Waiting(naming.printable(entry.path)[:300], judgement.reason, since, limit)
        if sweep.longest is None or waiting.due < sweep.longest.due:
            sweep.longest = waiting

    def _has_no_quota(self, queue: str, size: int, sweep: Sweep) -> bool:
        reason = self._quotas.why_not(queue, size)
        if reason:
            sweep.wait(Judgement(Verdict.WAIT, reason, self._quotas.retry_in(queue)))
        return reason is not None

    def _accept(self, directory: int, entry: Entry, judgement: Judgement, sweep: Sweep) -> Taken | None:
        assert judgement.found is not None and judgement.descriptor is not None
        descriptor: int | None = judgement.descriptor
        if not self._inbox.footing.asks_leases:
            # Source: on NFS what is open while its old name is removed keeps one (a silly rename): it would have two.
            os.close(judgement.descriptor)
            descriptor = None
        try:
            beside = self._sidecars.read(directory, entry)
        except Rejected as error:
            sweep.rejected += 1 + self._intake.reject(directory, entry, error.message)
            return None
        except Wait as wait:
            limit = self._terms.queue(entry.queue).sidecar_wait()
            self._wait(entry, wait.judgement, sweep, None if limit == float("inf") else limit)
            return None
        arrival = self._arrival(entry, judgement.found.st_size, beside)
        if self._has_no_quota(arrival.queue, arrival.size, sweep):
            return None
        taken = Taken(arrival, entry, judgement.found, descriptor, directory, beside[1] if beside else None)
        if not self._jobqueue.take(self._owner, taken):
            return None
        self._quotas.count(arrival.queue, arrival.size)
        self._inbox.let_go(entry)
        return taken

    def _arrival(self, entry: Entry, size: int, beside: tuple[Sidecar, Entry] | None) -> Arrival:
        now = self._clock.now()
        queue = self._terms.queue(entry.queue)
        arrival = Arrival(self._ids.next(now), entry.queue, entry.name, size, queue.priority)
        return beside[0].apply(arrival, queue, now, mark_of(beside[1])) if beside else arrival

    # ---------------------------------------------------------------- unsettled

    def _is_settled(self, taken: Taken) -> bool:
        if self._jobqueue.is_settled(self._owner, taken):
            return True
        self._unsettled.append(taken.arrival)
        emit(Word.UNSETTLED, job=taken.arrival.id, name=naming.printable(taken.arrival.name))
        return False

    def _is_sound(self, settled: Taken, taken: list[Taken], sweep: Sweep) -> bool:
        """Whether it is what its producer says. What is not is refused, leaves `taken`, and its sidecar goes, too."""
        try:
            self._jobqueue.verify(self._owner, settled.arrival)
        except Rejected as error:
            self._refuse(settled.arrival, error.message, sweep)
            taken.remove(settled)
            if settled.sidecar is not None:
                self._sidecars.drop(settled.directory, settled.sidecar)
            return False
        return True

    def _refuse(self, arrival: Arrival, reason: str, sweep: Sweep) -> None:
        """Put what has left the inbox, and can not become a job, into rejected/."""
        parked = Parked(arrival.id, arrival.queue, naming.disk_name(arrival.name))
        self._jobqueue.refuse(self._owner, parked, reason, self._clock.now())
        if arrival.options:
            self._jobqueue.forget_arrival(self._owner, arrival)
        sweep.rejected += 1

    def _ask_unsettled_again(self, sweep: Sweep) -> None:
        """Files in ready/<me>/ that somebody opened for writing, or exchanged, just before we moved them."""
        waiting, self._unsettled = self._unsettled, []
        try:
            while waiting:
                self._ask_one_again(waiting.pop(0), sweep)
        finally:
            self._unsettled += waiting

    def _ask_one_again(self, arrival: Arrival, sweep: Sweep) -> None:
        try:
            complete = self._jobqueue.ask_again(self._owner, arrival, self._clock.now())
        except FileNotFoundError as error:
            emit(Word.ALARM, what="an unsettled file has gone", job=arrival.id, error=str(error))
            return
        except Rejected as error:
            self._refuse(arrival, error.message, sweep)
            return
        except OSError:
            complete = None  # its producer has closed it to us, or we have no descriptor left: it is not forgotten
        if complete is None:
            self._unsettled.append(arrival)
            sweep.next_look = min(sweep.next_look, 0.25)
        else:
            self._commit([complete], None)
            sweep.taken += 1

    # ---------------------------------------------------------------- directories

    def _remove_empty(self, empty: Sequence[bytes]) -> None:
        """Remove directories that stayed empty for a while: at once would pull them from under a `cp -r`."""
        now = self._clock.boottime()
        self._empty_since = {path: self._empty_since.get(path, now) for path in empty}
        for path, since in self._empty_since.items():
            if now - since >= self._settings.ingest.empty_directory_after:
                self._remove_folder(path)

    def _remove_folder(self, path: bytes) -> None:
        try:
            above = self._inbox.open_parent(Entry(path, "", b"", 0, 0))
        except OSError:
            return  # its place has changed: the next sweep looks again
        try:
            self._jobqueue.spool.remove_folder(above, os.path.basename(path))
        finally:
            os.close(above)


def _in_turn(entries: Sequence[Entry]) -> list[Entry]:
    """The first of each queue, the second of each …: a flood in one holds up no other. Each keeps its order."""
    if len({entry.queue for entry in entries}) < 2:
        return list(entries)
    counts: Counter[str] = Counter()
    ranked = []
    for entry in entries:
        counts[entry.queue] += 1
        ranked.append((counts[entry.queue], entry))
    return [entry for _, entry in sorted(ranked, key=lambda each: each[0])]
