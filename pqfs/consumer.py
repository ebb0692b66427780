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

from pqfs.clock import Clock
from pqfs.doubts import Doubts
from pqfs.errors import DiskFull, IndexGone, PqfsError, VolumeFault
from pqfs.events import Word, emit
from pqfs.holding import Holding
from pqfs.jobqueue import JobQueue, Lease
from pqfs.model import State
from pqfs.oversight import Oversight
from pqfs.pulse import Pulse
from pqfs.reports import Reports
from pqfs.runnerlink import RunnerLink
from pqfs.runtime import Identity, Pause, Presence, Readable, Stop
from pqfs.vigil import Vigil

_GATHER = 0.005  # while the runner is busy, results are read this often and not one by one
_PAUSE = 1.0  # seconds without claims after trouble with the disk


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
        self._holding = Holding(jobqueue, link, identity.owner, clock)
        self._doubts = Doubts(jobqueue, self._holding, identity.owner, clock)
        self._reports = Reports(self._holding, self._doubts, link, clock)
        self._oversight = Oversight(jobqueue, self._holding, link, identity.owner, clock)
        self._paused_until = 0.0
        self._drain_by: float | None = None
        self._pause = Pause("consumer")
        self._vigil = Vigil(jobqueue.spool, jobqueue.index, clock)
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
        if self._drain_by is not None:
            return self._holding.is_empty
        return until_empty and self._holding.is_empty and self._holding.is_dry

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
                self._holding.is_dry = False
                self._oversight.end_cancelled()
                self._doubts.heed_pauses()
            self._collect()
            if self._doubts.has_set_aside:
                self._doubts.heed_pauses()
            if self._oversight.watch(self._drain_by):
                self._collect()
            self._settle()
            if not self._is_paused():
                self._pause.say(None)
        except IndexGone:
            raise
        except (PqfsError, OSError) as error:
            # Nothing that was claimed or has ended is forgotten.
            self._doubts.is_unsure = True
            self._rest(self._pause.blame(error))
        return True

    def beat(self) -> None:
        """Say in the slot that this process lives, whatever the disk is like."""
        self._link.beat(self._clock.boottime())

    def _tell(self, pulse: Pulse) -> None:
        """Beat, and say since when there have been jobs and the runner has run none."""
        self.beat()
        now, is_idle = self._clock.boottime(), bool(self._holding.outstanding) and self._link.running() is None
        self._idle_since = (self._idle_since or now) if is_idle else None
        is_long = self._idle_since is not None and now - self._idle_since > _PAUSE
        pulse.note(barriers=self._jobqueue.spool.pace.told())
        retiring = self._drain_by == float("inf") or None
        unfit = self._doubts.unfit() or None
        pulse.beat(idle_since=self._idle_since if is_long else None, retiring=retiring, unfit=unfit)

    def _rest(self, error: PqfsError | None) -> None:
        self._pause_for(_PAUSE)
        if isinstance(error, DiskFull):
            try:
                self._jobqueue.spool.give_up_ballast()
            except OSError:
                pass  # it is tried again after the pause

    def _pause_for(self, seconds: float) -> None:
        self._paused_until = self._clock.boottime() + seconds

    def _is_paused(self) -> bool:
        return self._clock.boottime() < self._paused_until

    def _drain(self, patience: float) -> None:
        emit(Word.DRAINING, owner=self._identity.owner, outstanding=len(self._holding.outstanding))
        self._drain_by = self._clock.boottime() + patience
        self._holding.give_back("its consumer is being stopped")

    # ---------------------------------------------------------------- claim

    def _fill(self) -> None:
        """Lease more work when half of the last is used up, and no commit is near that would do it on its way."""
        if self._doubts.is_unsure and self._drain_by is None and not self._is_paused():
            self._doubts.recall()
        if self._holding.ended or self._holding.room < self._holding.batch.size / 2 or not self._wants_more():
            return
        more = self._lease()
        more.hand_over(self._jobqueue.claim(more.owner, more.queues, more.limit, self._clock.now()))

    def _wants_more(self) -> bool:
        if self._link.is_down or self._drain_by is not None or self._holding.is_dry or self._is_paused():
            return False
        return self._holding.room > 0 and not self._has_no_room() and not self._oversight.runs_long()

    def _lease(self) -> Lease:
        return Lease(self._identity.owner, self._subscribed, self._holding.room, self._holding.take_on)

    def _has_no_room(self) -> bool:
        low = self._jobqueue.spool.is_below(int(self._jobqueue.settings.low_water))
        if low:
            self._pause.say("the disk is below low water")
            self._pause_for(_PAUSE)
        return low

    # ---------------------------------------------------------------- wait

    def _wait(self, stop: Stop, presence: Presence) -> bool:
        """Sleep until there is something to do; whether the bell rang or it is time to poll."""
        now = self._clock.boottime()
        gathering = bool(self._holding.ended) and bool(self._holding.outstanding)
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
        if self._holding.outstanding:
            return self._settings.poll_every
        wake = self._jobqueue.index.next_wake()
        until_wake = wake - self._clock.now() if wake is not None else float("inf")
        until_resumed = self._paused_until - self._clock.boottime()
        return max(_GATHER, until_resumed, min(self._settings.poll_every, until_wake))

    def _next_deadline(self, now: float) -> float:
        """Seconds until a timer of ours fires."""
        deadlines = [max(self._holding.settle_by, self._paused_until), *self._oversight.deadlines(self._drain_by)]
        if self._holding.moved and not self._holding.outstanding and not self._holding.ended:
            deadlines.append(self._paused_until)
        if self._paused_until > now:
            deadlines.append(self._paused_until)
        return max(0.0, min(deadlines) - now) + 0.001

    # ---------------------------------------------------------------- the runner

    def _collect(self) -> None:
        if rest := self._reports.collect():
            self._pause_for(rest)

    def _replace_runner(self) -> None:
        """A runner in place of one that has died, and for it all that waits; not while there is trouble."""
        if self._link.is_down and not self._is_paused():
            self._link.start()
            self._holding.hand_over_again()

    # ---------------------------------------------------------------- settle

    def _settle(self) -> None:
        """End attempts in one batch, or confirm the last batch's moves when there is nothing else to do."""
        if self._is_paused():
            return
        held = self._holding
        if held.ended and (not held.outstanding or self._clock.boottime() >= held.settle_by):
            self._end_attempts()
        elif held.moved and not held.ended and not held.outstanding:
            moved, held.moved = held.moved, []
            self._jobqueue.confirm(moved)
            if any(job.state is State.PENDING for job in moved):
                held.is_dry = False  # what ended without success may be claimed again, and maybe at once

    def _end_attempts(self) -> None:
        began = self._clock.boottime()
        try:
            more = self._lease() if self._wants_more() else None
            moved = self._jobqueue.finish(self._holding.ended, self._clock.now(), self._holding.moved, more)
        except VolumeFault as error:
            self._holding.make_again(error.message, _PAUSE)
            raise
        except FileNotFoundError:
            if self._jobqueue.spool.exists(f"work/{self._identity.owner}"):
                raise
            # Race: we were declared dead, and our scratch was taken away with all that is in it. Without it nothing
            # can be run any more: what we would claim now would fail, so this process ends and the next one begins.
            self._holding.forget_outputs()
            self._drain(0.0)
            return
        self.completed += self._holding.committed(moved, self._clock.boottime() - began)
