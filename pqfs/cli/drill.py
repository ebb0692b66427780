"""How `pqfs simulate-crash` works: ends a consumer in mid-job with SIGKILL, and tells what becomes of it, with times.

Nothing is pretended: the process is as dead as after any crash, and what brings the job back is what always does. The
one that is killed is known by its kernel lock and ended through its pidfd, so that no other process can be hit.
"""

from __future__ import annotations

import io
import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pqfs.cli import terminal
from pqfs.errors import NotRunning, PqfsError, Refused
from pqfs.model import FINAL, PRIORITY_LIMIT, Attempt, State
from pqfs.report import ConsumerStatus, RunningJob, consumers
from pqfs.slot import read_slot
from pqfs.stack.configuration import SOCKET
from pqfs.stack.supervisor import Supervisor
from pqfs.submission import Submitter, Wish

if TYPE_CHECKING:
    from pqfs.wiring import App

_LOOK_EVERY = 0.002
CATCH_EVERY = 0.0005  # the demo runs for a part of a second
_DEMO_BYTES = 96 * 2**20
_RETURN = 10.0  # seconds that are waited for the consumer itself, once its job is well again
_DEATH = 5.0  # seconds that the kernel may take: a process that waits for a disk does not die before
_BUILT_IN = "timestamp"


@dataclass(frozen=True, slots=True)
class Target:
    """A consumer, and what it runs just now."""

    consumer: ConsumerStatus
    running: RunningJob


@dataclass(frozen=True, slots=True)
class Step:
    """Something that has happened, so many seconds after the kill."""

    name: str
    after: float
    sentence: str


class TooLate(PqfsError):
    """Nothing ran, or nothing was well again, within the time that was given."""

    exit_code = 3


# -------------------------------------------------------------------- who


def check_crew(app: App) -> None:
    """Refuse where nobody would bring the job back.

    Raises:
        NotRunning: no consumer is alive, or no janitor.
    """
    living = [each.program for each in app.owners.living()]
    for kind in ("consumer", "janitor"):
        if not any(each.startswith(kind) for each in living):
            raise NotRunning(f"No {kind} is alive on this spool.", "Start it: pqfs up")


def running_now(app: App, job: str | None) -> Target | None:
    """A consumer that runs this job (None: any job)."""
    for each in consumers(app):
        if each.is_alive and each.running and job in (None, each.running.job):
            return Target(each, each.running)
    return None


def await_running(app: App, job: str | None, timeout: float, every: float = 0.02) -> Target:
    """Wait until it runs.

    Raises:
        TooLate: it has ended meanwhile, or did not run in time.
    """
    deadline = time.monotonic() + timeout
    while (target := running_now(app, job)) is None:
        found = app.index.job(job) if job else None
        if found and found.state in FINAL:
            raise TooLate(f"Job {job} is {found.state}: there is nothing to interrupt.", f"See: pqfs why {job}")
        if time.monotonic() > deadline:
            raise TooLate(f"Nothing ran within {timeout:g} seconds.", "Name a job, or wait longer: --timeout")
        time.sleep(every)
    return target


def demo_queue(app: App) -> str | None:
    """A queue whose jobs the built-in handler runs, at once; None where all run somebody's own program."""
    app.jobqueue.terms.look()
    alive = [each for each in consumers(app) if each.is_alive]
    for queue in app.index.queues():
        is_open = queue.paused_at is None and any(each.serves(queue.name) for each in alive)
        if is_open and app.jobqueue.terms.queue(queue.name).handler == _BUILT_IN:
            return queue.name
    return None


def submit_demo(app: App, queue: str) -> str:
    """A job that takes long enough to be interrupted; it runs before all others of its queue."""
    if app.spool.is_below(int(app.settings.low_water) + 4 * _DEMO_BYTES):
        raise Refused("There is no room for a demo job.", "Name a job of your own: pqfs simulate-crash JOB")
    with Submitter(app.jobqueue, "submit", app.clock) as submitter:
        source = io.BytesIO(b"as a drill, this was interrupted\n" * (_DEMO_BYTES // 33))
        submitter.stage(source, b"drill.txt", Wish(queue, priority=PRIORITY_LIMIT))
        return submitter.commit()[0].id


def cost(app: App, target: Target) -> str:
    """What the kill costs the job, in words.

    Raises:
        Refused: it would be the end of it.
    """
    job = app.jobqueue.job(target.running.job)
    limit = app.jobqueue.terms.queue(job.queue).max_crashes
    if job.crashes + 1 >= limit:
        raise Refused(
            f"Job {job.id} has {job.crashes} of {limit} crashes: one more would make it unprocessable.",
            "Interrupt another one.",
        )
    return f"This costs the job one of {limit} crashes ({job.crashes} so far) and a run of its handler"


# -------------------------------------------------------------------- kill and watch


def kill(app: App, target: Target) -> tuple[float, float]:
    """End that consumer now, if it still runs that attempt; when that was, and when it was dead (Unix seconds).

    Raises:
        TooLate: it does not any more.
        Refused: this user may not.
    """
    owner = target.consumer.owner
    descriptor = app.owners.open_pidfd(owner)
    if descriptor is None:
        raise TooLate(f"{owner} has ended meanwhile.")
    try:
        running = read_slot(app.spool.path(f"run/{owner}.slot"))
        if running is None or (running.job, running.attempt) != (target.running.job, target.running.attempt):
            raise TooLate(f"Job {target.running.job} has ended meanwhile.")
        at = app.clock.now()
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], _DEATH)
        return at, app.clock.now()
    except PermissionError as error:
        raise Refused(f"This user may not end process {target.consumer.pid}.", "Ask as the user of pqfs.") from error
    finally:
        os.close(descriptor)


class Aftermath:
    """Watches what becomes of a job whose consumer was killed, step by step."""

    def __init__(self, app: App, target: Target, at: float, died_at: float) -> None:
        self._app = app
        self._job = target.running.job
        self._attempt = target.running.attempt
        self._victim = target.consumer
        self._at = at
        self._died_at = died_at
        self._seen: set[str] = set()
        self.state = State.PROCESSING

    @property
    def is_well(self) -> bool:
        """Whether the job has ended, or runs again."""
        return self.state in FINAL or "again" in self._seen

    def steps(self, patience: float) -> Iterator[Step]:
        """Each step when it is seen, until the job has ended and its consumer is back, or patience is over."""
        ended_at, begun = None, time.monotonic()
        is_kept = Supervisor(self._app.settings.spool / SOCKET).is_listening()
        while (spent := time.monotonic() - begun) < patience:
            for look in (self._death, self._return, self._end_of_attempt, self._next_run, self._end):
                yield from look()
            if self.state in FINAL:
                ended_at = spent if ended_at is None else ended_at
                if "back" in self._seen or not is_kept or spent - ended_at > _RETURN:
                    return
            time.sleep(_LOOK_EVERY)

    def _once(self, name: str, at: float | None, sentence: str) -> Iterator[Step]:
        if name not in self._seen:
            self._seen.add(name)
            yield Step(name, max(0.0, (self._app.clock.now() if at is None else at) - self._at), sentence)

    def _death(self) -> Iterator[Step]:
        yield from self._once(
            "dead", self._died_at, f"{self._victim.program} is dead: the kernel has let its lock go"
        )

    def _return(self) -> Iterator[Step]:
        if "back" in self._seen:
            return
        for each in self._app.index.consumers():
            if each.program == self._victim.program and each.owner != self._victim.owner:
                yield from self._once("back", None, f"{each.program} was started again, as pid {each.pid}")

    def _history(self) -> list[Attempt]:
        return [each for each in self._app.index.attempts(self._job) if each.attempt >= self._attempt]

    def _end_of_attempt(self) -> Iterator[Step]:
        if "given back" in self._seen:
            return
        for each in self._history()[:1]:
            said = f"noticed: attempt {each.attempt} ended as {each.outcome}, and the job was given back"
            yield from self._once("given back", each.ended_at, said)

    def _next_run(self) -> Iterator[Step]:
        if "again" in self._seen:
            return
        for each in self._history()[1:2]:  # so short that nobody saw it run
            yield from self._once(
                "again", each.started_at, f"it ran again on {each.owner}, as attempt {each.attempt}"
            )
        target = running_now(self._app, self._job)
        if target and target.running.attempt > self._attempt:
            again = f"it runs again on {target.consumer.owner}, as attempt {target.running.attempt}"
            yield from self._once("again", self._app.clock.now() - target.running.seconds, again)

    def _end(self) -> Iterator[Step]:
        job = self._app.index.job(self._job)
        if job is None or job.state not in FINAL:
            return
        self.state = job.state
        output = f", output {job.output}" if job.output else f": {job.error}"
        yield from self._once("ended", job.updated_at, f"the job is {job.state}{output}")


def tell(step: Step) -> None:
    """One line for a person."""
    terminal.put(f"{step.after:8.3f} s  {step.sentence}")
