"""What a consumer holds: the jobs that are leased to it, what has become of them, and how many more it would take on.

A job is `outstanding` from its lease until its attempt has ended, then `ended` until a commit has said so, then
`moved` until another has confirmed where its payload lies. Trouble may come between any two of these: what is held
stays, and is tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from pqfs.clock import Clock
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome
from pqfs.runnerlink import RunnerLink
from pqfs.slot import Running

_FIRST_BATCH = 4
_SETTLE_WITHIN = 0.05  # seconds after a batch's first result, while more work waits
_SETTLE_SOON = 0.002  # the least of it while none does; else a quarter of what the last batch took to end
_SMOOTHING = 0.3
_NEVER = float("inf")


@dataclass(slots=True)
class Ending:
    """An attempt that is being ended early: why, and when patience is over (boot time)."""

    job: str
    outcome: Outcome
    kill_at: float

    def over(self, said: Outcome) -> Outcome:
        """What has become of it: done all the same, or what was wanted, with what its runner measured."""
        if said.kind is Kind.DONE and self.outcome.kind is not Kind.CANCELLED:
            return said
        return replace(
            self.outcome, started_at=said.started_at, run_seconds=said.run_seconds, log=said.log, used=said.used,
            handler=said.handler,
        )  # fmt: skip


class Batch:
    """How many jobs are held at once: about `seconds` of work, `most` at most."""

    def __init__(self, seconds: float, most: int) -> None:
        self.size = _FIRST_BATCH
        self._seconds, self._most = seconds, most
        self._a_job: float | None = None

    def measure(self, seconds: float) -> None:
        """Adapt to a job that took so long; it grows at most fourfold a time."""
        smooth = seconds if self._a_job is None else self._a_job + _SMOOTHING * (seconds - self._a_job)
        self._a_job = smooth
        fitting = int(self._seconds / max(smooth, 1e-6))
        self.size = max(1, min(fitting, self.size * 4, self._most))

    def begin_anew(self) -> None:
        """What was held had to be given back: one at a time, until that is known to be too few."""
        self.size = 1


class Holding:
    """The jobs of one consumer, which hands them to its runner."""

    def __init__(self, jobqueue: JobQueue, link: RunnerLink, owner: str, clock: Clock) -> None:
        self._jobqueue = jobqueue
        self._link = link
        self._owner = owner
        self._clock = clock
        self.outstanding: dict[str, Job] = {}
        self.ended: list[tuple[Job, Outcome]] = []
        self.moved: list[Job] = []
        self.ending: Ending | None = None
        self.is_dry = False  # there was nothing more to claim when somebody looked last
        self.settle_by = _NEVER  # when what has ended is committed at the latest (boot time)
        self.batch = Batch(jobqueue.settings.consume.prefetch, jobqueue.settings.consume.batch)
        self._last_commit = 0.0  # seconds

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held, in whatever stage."""
        return not (self.outstanding or self.ended or self.moved)

    @property
    def room(self) -> int:
        """How many more jobs the batch has room for."""
        return self.batch.size - len(self.outstanding)

    def running(self) -> tuple[Running, Job] | None:
        """What runs just now, if it is one of ours."""
        running = self._link.running()
        job = self.outstanding.get(running.job) if running else None
        return (running, job) if running and job else None

    def waiting(self) -> list[Job]:
        """What was handed to the runner and has not begun."""
        running = self._link.running()
        return [job for job in self.outstanding.values() if not running or job.id != running.job]

    # ---------------------------------------------------------------- taking on, giving back

    def take_on(self, jobs: Sequence[Job]) -> None:
        """Leased jobs are ours to run; fewer than there was room for means that there are no more just now."""
        self.is_dry = len(jobs) < self.room
        self.remember(jobs)

    def remember(self, jobs: Sequence[Job]) -> None:
        """Hold what is leased to us, and hand it to the runner."""
        self.outstanding.update((job.id, job) for job in jobs)
        self._link.send(jobs)

    def hand_over_again(self) -> None:
        """All that has not ended, to a runner in place of one that has died."""
        self._link.send(list(self.outstanding.values()))

    def give_back(self, reason: str) -> None:
        """Release, at no cost, what waits for the runner."""
        # Race: the runner comes to one of these after it is back in ready/, and would start a lease that is over.
        self._link.void()
        for job_id in self._jobqueue.give_back(self.waiting(), reason, self._clock.now()):
            del self.outstanding[job_id]
        self.batch.begin_anew()

    # ---------------------------------------------------------------- ends

    def finish(self, job: Job, outcome: Outcome) -> None:
        """An attempt has ended; what an early end of ours makes of its outcome."""
        if outcome.kind is Kind.MISSING and self._is_somewhere(job):
            # Race: a consumer that had lost its lease moved it after us; `settle` finds it and brings it back.
            outcome = Outcome(Kind.LOST, "its payload was moved by a consumer that had lost its lease")
        del self.outstanding[job.id]
        if self._jobqueue.terms.queue(job.queue).concurrency is not None:
            self.is_dry = False  # its end makes room for the next of its queue
        if self.ending and self.ending.job == job.id:
            ending, self.ending = self.ending, None
            outcome = ending.over(outcome)
        self.ended.append((job, outcome))
        self.settle_by = min(self.settle_by, self._clock.boottime() + self._patience())

    def _patience(self) -> float:
        """Seconds that a first result waits for others.

        Long while more work waits for us; else a part of what ending the last batch took, so that batches that are
        dear to end become larger.
        """
        return _SETTLE_WITHIN if not self.is_dry else min(_SETTLE_WITHIN, max(_SETTLE_SOON, self._last_commit / 4))

    def _is_somewhere(self, job: Job) -> bool:
        """Whether a payload that was not found lies elsewhere; where nobody can look it is not declared lost."""
        try:
            return bool(self._jobqueue.spool.find(job.id))
        except OSError:
            return True

    def committed(self, moved: list[Job], seconds: float) -> int:
        """What has ended stands in the index, and that took so long; how many of it were completed."""
        done = sum(outcome.kind is Kind.DONE for _, outcome in self.ended)
        self._last_commit = seconds
        self.ended, self.settle_by = [], _NEVER
        self.moved = moved
        return done

    def make_again(self, why: str, pause: float) -> None:
        """A sync is never repeated on the same data: what is done is given back, to be run again after a pause."""
        done = [job for job, outcome in self.ended if outcome.kind is Kind.DONE]
        again = Outcome(Kind.RELEASED, why, delay=pause)
        self.ended = [(job, again if outcome.kind is Kind.DONE else outcome) for job, outcome in self.ended]
        for job in done:
            # Race: an earlier try was committed, and its answer got lost; recovery publishes what it made.
            if not self._jobqueue.is_committed(job):
                self.discard_scratch(job)

    def forget_outputs(self) -> None:
        """What the attempts that ended have made is gone: that is a loss, and no failure of theirs."""
        self.ended = [(job, _without_output(outcome)) for job, outcome in self.ended]

    def discard_scratch(self, job: Job) -> None:
        """Remove what an attempt has written. What stays is never taken for a later one's, and goes when we end."""
        for suffix in ("part", "parts", "out"):
            path = self._jobqueue.spool.scratch_path(self._owner, job.id, job.attempt, suffix)
            with suppress(OSError):
                self._jobqueue.spool.remove_tree(path)


def _without_output(outcome: Outcome) -> Outcome:
    """What is left of an attempt when what it has made is gone."""
    if outcome.kind is not Kind.DONE:
        return outcome
    return Outcome(Kind.LOST, "what it had made was taken away", 0.0, outcome.started_at, outcome.run_seconds)
