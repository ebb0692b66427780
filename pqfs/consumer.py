"""Claims jobs, has its runner run them, ends their attempts. Renews its lease whatever its handlers do.

Two processes: this one speaks the protocol, the runner runs handlers. The consumer leases about a second of
work at a time, hands it over, and ends attempts in batches: at once when the runner has nothing left, at the
latest 50 ms after the batch's first result, sooner where no more work waits. When a job turns out long, what
was leased behind it is given back at no cost. TERM drains: what runs is finished (bounded), the rest is given
back. USR1 does the same without the bound.

Trust: reads index rows and the runner's reports, never payloads. Writes index rows under its lease, moves
files of jobs that it holds. Deletes only its own scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pqfs.channel import Message
from pqfs.clock import Clock
from pqfs.errors import DiskFull, IndexGone, PqfsError, VolumeFault
from pqfs.events import Word, emit
from pqfs.index import Consumer as ConsumerRow
from pqfs.index import Index
from pqfs.jobqueue import JobQueue, Lease
from pqfs.model import Job, Kind, Outcome, State, Used
from pqfs.pulse import Pulse
from pqfs.runnerlink import RunnerLink
from pqfs.runtime import Heartbeat, Identity, Pause, Presence, Readable, Stop
from pqfs.vigil import Vigil

_FIRST_BATCH = 4
_SETTLE_WITHIN = 0.05  # seconds after a batch's first result, while more work waits
_SETTLE_SOON = 0.002  # the least of it while none does; else a quarter of what the last batch took to end
_GATHER = 0.005  # while the runner is busy, results are read this often and not one by one
_SMOOTHING = 0.3
_PAUSE = 1.0  # seconds without claims after trouble with the disk
_ASIDE = 60.0  # seconds without claims from a queue whose handler can not be run here
_NEXT_TRY = 10.0  # seconds within which it is known again whether it can
_QUICK_DEATHS = 3


@dataclass(slots=True)
class _Ending:
    """An attempt that is being ended early: why, and when patience is over (boot time)."""

    job: str
    outcome: Outcome
    kill_at: float


class Consumer:
    """One consumer with one runner."""

    def __init__(
        self,
        jobqueue: JobQueue,
        link: RunnerLink,
        identity: Identity,
        clock: Clock,
        queues: Sequence[str] | None,
    ) -> None:
        self._jobqueue = jobqueue
        self._settings = jobqueue.settings.consume
        self._link = link
        self._identity = identity
        self._clock = clock
        self._subscribed = queues
        self._outstanding: dict[str, Job] = {}
        self._ended: list[tuple[Job, Outcome]] = []
        self._moved: list[Job] = []
        self._ending: _Ending | None = None
        self._batch = _FIRST_BATCH
        self._seconds_a_job: float | None = None
        self._settle_by = float("inf")
        self._last_finish = 0.0  # seconds
        self._is_dry = False
        self._paused_until = 0.0
        self._is_unsure = False  # whether there may be leases of ours that we have not heard of
        self._drain_by: float | None = None
        self._long_job: tuple[str, int] | None = None  # behind which all that waited was given back
        self._pause = Pause("consumer")
        self._vigil = Vigil(jobqueue.index, clock)
        self._idle_deaths = 0
        self._has_set_aside = False  # since the pauses were heeded last
        self._handlers: dict[str, str] = {}  # what ran last in each queue: a runner that dies tells nothing
        self._idle_since: float | None = None
        self.completed = 0

    # ---------------------------------------------------------------- loop

    def run(self, stop: Stop, presence: Presence, until_empty: bool = False) -> None:
        """Consume until asked to stop; with `until_empty` also when nothing is left to claim."""
        self._link.start()
        try:
            while self._turn(stop, presence, until_empty):
                pass
        finally:
            self._link.close()

    def _heed(self, stop: Stop) -> None:
        """Begin to drain when that is asked for."""
        if stop.retiring and self._drain_by is None:
            self._drain(float("inf"))
        if stop.requested and self._drain_by in (None, float("inf")):
            self._drain(self._settings.drain)

    def _is_over(self, until_empty: bool) -> bool:
        idle = not (self._outstanding or self._ended or self._moved)
        if self._drain_by is not None:
            return idle
        return until_empty and idle and self._is_dry

    def _turn(self, stop: Stop, presence: Presence, until_empty: bool) -> bool:
        """One round of the loop; whether there is to be another."""
        try:
            self._vigil.look()
            self._heed(stop)
            self._tell(presence.pulse)
            self._replace_runner()
            self._fill()
            if self._is_over(until_empty):
                return False
            if self._wait(stop, presence):
                self._is_dry = False
                self._end_cancelled()
                self._heed_pauses()
            self._collect()
            if self._has_set_aside:
                self._heed_pauses()
            self._watch_running()
            self._settle()
            if self._clock.boottime() >= self._paused_until:
                self._pause.say(None)
        except IndexGone:
            raise
        except (PqfsError, OSError) as error:
            # Nothing that was claimed or has ended is forgotten.
            self._is_unsure = True
            self._rest(self._pause.blame(error))
        return True

    def beat(self) -> None:
        """Say in the slot that this process lives, whatever the disk is like."""
        self._link.beat(self._clock.boottime())

    def _tell(self, pulse: Pulse) -> None:
        """Beat, and say since when there have been jobs and the runner has run none."""
        self.beat()
        now, is_idle = self._clock.boottime(), bool(self._outstanding) and self._link.running() is None
        self._idle_since = (self._idle_since or now) if is_idle else None
        is_long = self._idle_since is not None and now - self._idle_since > _PAUSE
        pulse.note(barriers=self._jobqueue.spool.pace.told())
        retiring = self._drain_by == float("inf") or None
        # Between two tries it is no news that the first is over.
        unfit = self._jobqueue.terms.aside(self._clock.now() - _NEXT_TRY) or None
        pulse.beat(idle_since=self._idle_since if is_long else None, retiring=retiring, unfit=unfit)

    def _rest(self, error: PqfsError | None) -> None:
        self._pause_until(_PAUSE)
        if isinstance(error, DiskFull):
            try:
                self._jobqueue.spool.give_up_ballast()
            except OSError:
                pass  # it is tried again after the pause

    def _pause_until(self, seconds: float) -> None:
        self._paused_until = self._clock.boottime() + seconds

    # ---------------------------------------------------------------- claim

    def _fill(self) -> None:
        """Lease more work when half of the last is used up, and no commit is near that would do it on its way."""
        if self._is_unsure and self._drain_by is None and self._clock.boottime() >= self._paused_until:
            self._recall()
        if self._ended or len(self._outstanding) > self._batch // 2 or not self._wants_more():
            return
        more = self._lease()
        more.hand_over(self._jobqueue.claim(more.owner, more.queues, more.limit, self._clock.now()))

    def _recall(self) -> None:
        """Run what is leased to us and we do not know of: its claim was committed, and the answer got lost.

        Nobody else would: we live. Who drains leaves it to recovery, which gives it back as soon as we are gone.
        """
        known = {*self._outstanding, *(job.id for job, _ in self._ended)}
        ours = self._jobqueue.index.unconfirmed_of(self._identity.owner)
        self._is_unsure = False
        if forgotten := [job for job in ours if job.state is State.PROCESSING and job.id not in known]:
            self._outstanding.update((job.id, job) for job in forgotten)
            self._link.send(forgotten)

    def _wants_more(self) -> bool:
        if self._link.is_down or self._drain_by is not None or self._is_dry:
            return False
        if self._clock.boottime() < self._paused_until:
            return False
        return len(self._outstanding) < self._batch and not self._has_no_room() and not self._runs_long()

    def _lease(self) -> Lease:
        room = self._batch - len(self._outstanding)
        return Lease(self._identity.owner, self._subscribed, room, self._take_on)

    def _take_on(self, jobs: Sequence[Job]) -> None:
        """Leased jobs are ours to run; fewer than there was room for means that there are no more just now."""
        self._is_dry = len(jobs) < self._batch - len(self._outstanding)
        self._outstanding.update((job.id, job) for job in jobs)
        self._link.send(jobs)

    def _has_no_room(self) -> bool:
        low = self._jobqueue.spool.is_below(int(self._jobqueue.settings.low_water))
        if low:
            self._pause.say("the disk is below low water")
            self._pause_until(_PAUSE)
        return low

    def _runs_long(self) -> bool:
        running = self._link.running()
        return running is not None and self._clock.boottime() - running.started > self._settings.prefetch

    def _wait(self, stop: Stop, presence: Presence) -> bool:
        """Sleep until there is something to do; whether the bell rang or it is time to poll."""
        now = self._clock.boottime()
        gathering = bool(self._ended) and bool(self._outstanding)
        channels = [] if self._link.is_down else [self._link.channel]
        readables: list[Readable] = [presence.bell] if gathering else [presence.bell, *channels]
        writables = [each for each in channels if each.has_unsent]
        timeout = min(self._next_deadline(now), _GATHER if gathering else self._poll_in())
        stop.wait(timeout, readables, writables)
        for each in writables:
            each.flush()
        rang = presence.bell.hear()
        return rang or (not gathering and self._clock.boottime() - now >= self._poll_in() * 0.9)

    def _poll_in(self) -> float:
        """Seconds until the next poll: sooner when a delayed job becomes due before."""
        if self._outstanding:
            return self._settings.poll_every
        wake = self._jobqueue.index.next_wake()
        until_wake = wake - self._clock.now() if wake is not None else float("inf")
        until_resumed = self._paused_until - self._clock.boottime()
        return max(_GATHER, until_resumed, min(self._settings.poll_every, until_wake))

    def _next_deadline(self, now: float) -> float:
        """Seconds until a timer of ours fires."""
        deadlines = [max(self._settle_by, self._paused_until)]
        if self._moved and not self._outstanding and not self._ended:
            deadlines.append(self._paused_until)
        if self._paused_until > now:
            deadlines.append(self._paused_until)
        deadlines += [self._ending.kill_at] if self._ending else self._running_deadlines()
        return max(0.0, min(deadlines) - now) + 0.001

    def _running_deadlines(self) -> list[float]:
        """When `_watch_running` has to act on what runs."""
        running = self._link.running()
        job = self._outstanding.get(running.job) if running else None
        if running is None or job is None:
            return []
        deadlines = [running.started + self._timeout(job)]
        if self._drain_by is not None:
            deadlines.append(self._drain_by)
        if len(self._outstanding) > 1 and self._long_job != (job.id, job.attempt):
            deadlines.append(running.started + self._settings.prefetch)
        return deadlines

    # ---------------------------------------------------------------- results

    def _collect(self) -> None:
        for message in self._link.results():
            self._note(message)
        if self._link.is_dead:
            self._mourn_runner()

    def _note(self, message: Message) -> None:
        job = self._outstanding.get(message["job"])
        if job is None or job.attempt != message["attempt"]:
            return  # given back meanwhile
        self._idle_deaths = 0
        if "handler" in message:
            self._handlers[job.queue] = message["handler"]
        if "unfit" in message:
            self._set_aside(job.queue, message["error"])
        self._finish(job, _outcome(message))
        self._measure(message.get("run_seconds", 0.0))

    def _set_aside(self, queue: str, why: str) -> None:
        """No job of this queue can be run here, so none is tried before somebody has had time to mend that."""
        now = self._clock.now()
        if queue not in self._jobqueue.terms.aside(now):
            emit(Word.ALARM, what=f"the handler of queue {queue} can not be run; next try in {_ASIDE:g} s", cause=why)
            self._jobqueue.terms.set_aside(queue, now + _ASIDE, why)
            self._has_set_aside = True

    def _finish(self, job: Job, outcome: Outcome) -> None:
        """An attempt has ended; what an early end of ours makes of its outcome."""
        if outcome.kind is Kind.MISSING and self._is_somewhere(job):
            # Race: a consumer that had lost its lease moved it after us; `settle` finds it and brings it back.
            outcome = Outcome(Kind.LOST, "its payload was moved by a consumer that had lost its lease")
        del self._outstanding[job.id]
        if self._jobqueue.terms.queue(job.queue).concurrency is not None:
            self._is_dry = False  # its end makes room for the next of its queue
        if self._ending and self._ending.job == job.id:
            wanted, self._ending = self._ending.outcome, None
            if outcome.kind is not Kind.DONE or wanted.kind is Kind.CANCELLED:
                outcome = replace(
                    wanted, started_at=outcome.started_at, run_seconds=outcome.run_seconds, log=outcome.log,
                    used=outcome.used, handler=outcome.handler,
                )  # fmt: skip
        self._ended.append((job, outcome))
        self._settle_by = min(self._settle_by, self._clock.boottime() + self._patience())

    def _patience(self) -> float:
        """Seconds that a first result waits for others.

        Long while more work waits for us; else a part of what ending the last batch took, so that batches that are
        dear to end become larger.
        """
        return _SETTLE_WITHIN if not self._is_dry else min(_SETTLE_WITHIN, max(_SETTLE_SOON, self._last_finish / 4))

    def _is_somewhere(self, job: Job) -> bool:
        """Whether a payload that was not found lies elsewhere; where nobody can look it is not declared lost."""
        try:
            return bool(self._jobqueue.spool.find(job.id))
        except OSError:
            return True

    def _measure(self, seconds: float) -> None:
        """Adapt the batch to the work: about `prefetch` seconds of it, growing at most fourfold a time."""
        last = self._seconds_a_job
        smooth = seconds if last is None else last + _SMOOTHING * (seconds - last)
        self._seconds_a_job = smooth
        fitting = int(self._settings.prefetch / max(smooth, 1e-6))
        self._batch = max(1, min(fitting, self._batch * 4, self._settings.batch))

    def _mourn_runner(self) -> None:
        """The runner died: exactly the job in the slot is charged, all others go to the next runner."""
        running = self._link.running()
        said, cause = self._link.bury()
        for message in said:
            self._note(message)
        victim = self._outstanding.get(running.job) if running else None
        if victim is not None and running is not None and victim.attempt == running.attempt:
            seconds = self._clock.boottime() - running.started
            outcome = Outcome(
                Kind.CRASHED, f"its handler took the runner down ({cause})",
                started_at=self._clock.now() - seconds, run_seconds=seconds,
                handler=self._handlers.get(victim.queue),
            )  # fmt: skip
            self._finish(victim, outcome)
            self._discard_scratch(victim)
        else:
            self._idle_deaths += 1
        if self._idle_deaths >= _QUICK_DEATHS:
            emit(Word.ALARM, what="the runner dies before it runs anything", cause=cause)
            self._give_back("the runner does not start")
            self._pause_until(_PAUSE * self._idle_deaths)

    def _replace_runner(self) -> None:
        """A runner in place of one that has died, and for it all that waits; not while there is trouble."""
        if self._link.is_down and self._clock.boottime() >= self._paused_until:
            self._link.start()
            self._link.send(list(self._outstanding.values()))

    def _discard_scratch(self, job: Job) -> None:
        """Remove what an attempt has written. What stays is never taken for a later one's, and goes when we end."""
        for suffix in ("part", "parts", "out"):
            path = self._jobqueue.spool.scratch_path(self._identity.owner, job.id, job.attempt, suffix)
            with suppress(OSError):
                self._jobqueue.spool.remove_tree(path)

    # ---------------------------------------------------------------- early ends

    def _watch_running(self) -> None:
        """Timeouts, what waits behind a long job, and the end of patience."""
        now = self._clock.boottime()
        is_stopped = self._link.is_stopped()
        if is_stopped or (self._ending and now >= self._ending.kill_at):
            self._link.kill("it was stopped" if is_stopped else None)
            self._collect()
            return
        running = self._link.running()
        job = self._outstanding.get(running.job) if running else None
        if running is None or job is None or self._ending:
            return
        seconds = now - running.started
        if seconds >= self._timeout(job):
            self._end_early(
                job,
                Outcome(Kind.TIMEOUT, f"it ran longer than its timeout of {self._timeout(job):g} seconds"),
            )
        elif self._drain_by is not None and now >= self._drain_by:
            self._end_early(job, Outcome(Kind.RELEASED, "its consumer was stopped"))
        elif seconds >= self._settings.prefetch and len(self._outstanding) > 1:
            if self._long_job != (job.id, job.attempt):
                self._give_back("the job before it turned out long")
            self._long_job = (job.id, job.attempt)

    def _timeout(self, job: Job) -> float:
        asked = (job.options or {}).get("timeout")
        return float(asked or self._jobqueue.terms.queue(job.queue).timeout)

    def _end_early(self, job: Job, outcome: Outcome) -> None:
        self._ending = _Ending(job.id, outcome, self._clock.boottime() + self._settings.kill_after)
        self._link.ask_to_end()

    def _end_cancelled(self) -> None:
        """End attempts that somebody asked to end: the running one early, those that wait at once."""
        if not self._outstanding:
            return
        running = self._link.running()
        for (job_id, attempt), why in self._jobqueue.index.cancels_for(self._identity.owner).items():
            job = self._outstanding.get(job_id)
            if job is None or job.attempt != attempt:
                continue
            if running and running.job == job_id:
                if not self._ending:
                    self._end_early(job, Outcome(Kind.CANCELLED, why))
            elif self._jobqueue.spool.start(job):
                self._finish(job, Outcome(Kind.CANCELLED, why))

    def _heed_pauses(self) -> None:
        """Give back what waits for the runner when a queue of it was paused: nothing of that may start any more."""
        self._has_set_aside = False
        if len(self._outstanding) < 2:
            return
        running = self._link.running()
        self._jobqueue.terms.look()
        paused = self._jobqueue.terms.shut(self._clock.now())
        if any(job.queue in paused for job in self._outstanding.values() if not running or job.id != running.job):
            self._give_back("a queue was paused or set aside")

    def _give_back(self, reason: str) -> None:
        # Race: the runner comes to one of these after it is back in ready/, and would start a lease that is over.
        self._link.void()
        running = self._link.running()
        waiting = [job for job in self._outstanding.values() if not running or job.id != running.job]
        for job_id in self._jobqueue.give_back(waiting, reason, self._clock.now()):
            del self._outstanding[job_id]
        self._batch = 1

    def _drain(self, patience: float) -> None:
        emit(Word.DRAINING, owner=self._identity.owner, outstanding=len(self._outstanding))
        self._drain_by = self._clock.boottime() + patience
        self._give_back("its consumer is being stopped")

    # ---------------------------------------------------------------- settle

    def _settle(self) -> None:
        """End attempts in one batch, or confirm the last batch's moves when there is nothing else to do."""
        if self._clock.boottime() < self._paused_until:
            return
        if self._ended and (not self._outstanding or self._clock.boottime() >= self._settle_by):
            self._end_attempts()
        elif self._moved and not self._ended and not self._outstanding:
            moved, self._moved = self._moved, []
            self._jobqueue.confirm(moved)
            if any(job.state is State.PENDING for job in moved):
                self._is_dry = False  # what ended without success may be claimed again, and maybe at once

    def _end_attempts(self) -> None:
        began = self._clock.boottime()
        try:
            more = self._lease() if self._wants_more() else None
            moved = self._jobqueue.finish(self._ended, self._clock.now(), self._moved, more)
        except VolumeFault as error:
            # A sync is never repeated on the same data: the outputs are made again.
            done = [job for job, outcome in self._ended if outcome.kind is Kind.DONE]
            again = Outcome(Kind.RELEASED, error.message, delay=_PAUSE)
            self._ended = [(job, again if outcome.kind is Kind.DONE else outcome) for job, outcome in self._ended]
            for job in done:
                # Race: an earlier try was committed, and its answer got lost; recovery publishes what it made.
                if not self._jobqueue.is_committed(job):
                    self._discard_scratch(job)
            raise
        except FileNotFoundError:
            if self._jobqueue.spool.exists(f"work/{self._identity.owner}"):
                raise
            # Race: we were declared dead, and our scratch was taken away with all that is in it. Without it nothing
            # can be run any more: what we would claim now would fail, so this process ends and the next one begins.
            self._ended = [(job, _without_output(outcome)) for job, outcome in self._ended]
            self._drain(0.0)
            return
        self._last_finish = self._clock.boottime() - began
        self.completed += sum(outcome.kind is Kind.DONE for _, outcome in self._ended)
        self._ended, self._settle_by = [], float("inf")
        self._moved = moved


def _without_output(outcome: Outcome) -> Outcome:
    """What is left of an attempt when what it has made is gone."""
    if outcome.kind is not Kind.DONE:
        return outcome
    return Outcome(Kind.LOST, "what it had made was taken away", 0.0, outcome.started_at, outcome.run_seconds)


def _outcome(message: Message) -> Outcome:
    fields: dict[str, Any] = {
        name: message[name]
        for name in (
            "error",
            "delay",
            "started_at",
            "run_seconds",
            "output_size",
            "output_sha256",
            "exit_code",
            "log",
            "handler",
        )
        if name in message
    }
    if "used" in message:
        fields["used"] = Used(**message["used"])
    return Outcome(Kind(message["kind"]), **fields)


def register(
    index: Index, identity: Identity, pid: int, queues: Sequence[str] | None, lease: float, clock: Clock
) -> None:
    """Add the consumer's row, after its lock and before its first claim."""
    now, boottime = clock.now(), clock.boottime()
    row = ConsumerRow(
        identity.owner, identity.program, pid, identity.host, identity.boot_id,
        tuple(queues) if queues is not None else None, now, now, boottime, lease, 0,
    )  # fmt: skip
    with index.transaction():
        index.register(row)


def heartbeat(
    index: Index, consumer: Consumer, identity: Identity, lease: float, clock: Clock, stop: Stop,
    is_shared: bool = False,
) -> Heartbeat:  # fmt: skip
    """Renews the consumer's lease, three times a lease, over a connection of its own; in its slot first.

    Where hosts share the index that connection holds the consumer's name, is asked for every second, and the lease is
    renewed at once when it was lost.
    """

    def glance() -> bool:
        consumer.beat()
        return index.engine.keep()

    def beat() -> None:
        consumer.beat()
        with index.transaction():
            alive = index.beat(identity.owner, clock.now(), clock.boottime(), consumer.completed)
        if not alive:
            emit(Word.LEASE_LOST, owner=identity.owner, what="this consumer was declared dead; it stops")
            stop.request()

    return Heartbeat(lease / 3, beat, glance if is_shared else None)
