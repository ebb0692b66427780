"""How long what runs may run, and what ends it before: its timeout, a person, the end of a consumer's patience.

First the runner is asked to end the attempt; `kill_after` later it is ended itself, with every process below it.
"""

from __future__ import annotations

from pqfs.clock import Clock
from pqfs.holding import Ending, Holding
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome
from pqfs.runnerlink import RunnerLink


class Oversight:
    """One consumer's, over its runner. `drain_by` (boot time) is when a consumer that drains ends what runs."""

    def __init__(self, jobqueue: JobQueue, holding: Holding, link: RunnerLink, owner: str, clock: Clock) -> None:
        self._jobqueue = jobqueue
        self._settings = jobqueue.settings.consume
        self._holding = holding
        self._link = link
        self._owner = owner
        self._clock = clock
        self._long_job: tuple[str, int] | None = None  # behind which all that waited was given back

    def runs_long(self) -> bool:
        """Whether what runs takes longer than a batch should."""
        running = self._link.running()
        return running is not None and self._clock.boottime() - running.started > self._settings.prefetch

    def deadlines(self, drain_by: float | None) -> list[float]:
        """When `watch` has to act next (boot time)."""
        if self._holding.ending:
            return [self._holding.ending.kill_at]
        if (found := self._holding.running()) is None:
            return []
        running, job = found
        deadlines = [running.started + self._timeout(job)]
        if drain_by is not None:
            deadlines.append(drain_by)
        if len(self._holding.outstanding) > 1 and not self._is_known_long(job):
            deadlines.append(running.started + self._settings.prefetch)
        return deadlines

    def watch(self, drain_by: float | None) -> bool:
        """See to timeouts, to what waits behind a long job, to the end of patience; whether the runner was killed."""
        now = self._clock.boottime()
        is_stopped = self._link.is_stopped()
        if is_stopped or (self._holding.ending and now >= self._holding.ending.kill_at):
            self._link.kill("it was stopped" if is_stopped else None)
            return True
        if not self._holding.ending and (found := self._holding.running()):
            running, job = found
            self._judge(job, now - running.started, drain_by is not None and now >= drain_by)
        return False

    def _judge(self, job: Job, seconds: float, is_last_call: bool) -> None:
        if seconds >= self._timeout(job):
            why = f"it ran longer than its timeout of {self._timeout(job):g} seconds"
            self._end_early(job, Outcome(Kind.TIMEOUT, why))
        elif is_last_call:
            self._end_early(job, Outcome(Kind.RELEASED, "its consumer was stopped"))
        elif seconds >= self._settings.prefetch and len(self._holding.outstanding) > 1:
            if not self._is_known_long(job):
                self._holding.give_back("the job before it turned out long")
            self._long_job = (job.id, job.attempt)

    def _is_known_long(self, job: Job) -> bool:
        return self._long_job == (job.id, job.attempt)

    def _timeout(self, job: Job) -> float:
        asked = (job.options or {}).get("timeout")
        return float(asked or self._jobqueue.terms.queue(job.queue).timeout)

    def _end_early(self, job: Job, outcome: Outcome) -> None:
        self._holding.ending = Ending(job.id, outcome, self._clock.boottime() + self._settings.kill_after)
        self._link.ask_to_end()

    def end_cancelled(self) -> None:
        """End attempts that somebody asked to end: the running one early, those that wait at once."""
        if not self._holding.outstanding:
            return
        running = self._link.running()
        for (job_id, attempt), why in self._jobqueue.index.cancels_for(self._owner).items():
            job = self._holding.outstanding.get(job_id)
            if job is None or job.attempt != attempt:
                continue
            if running and running.job == job_id:
                if not self._holding.ending:
                    self._end_early(job, Outcome(Kind.CANCELLED, why))
            elif self._jobqueue.spool.start(job):
                self._holding.finish(job, Outcome(Kind.CANCELLED, why))
