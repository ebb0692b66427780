"""What a runner reports, and what its death reports: the outcomes of attempts.

Whose runner has died charges exactly the job that its slot names; all others go to the next runner. One that dies
again and again before it runs anything is not started at once.
"""

from __future__ import annotations

from typing import Any

from pqfs.channel import Message
from pqfs.clock import Clock
from pqfs.doubts import Doubts
from pqfs.events import Word, emit
from pqfs.holding import Holding
from pqfs.model import Kind, Outcome, Used
from pqfs.runnerlink import RunnerLink

_QUICK_DEATHS = 3
_REST = 1.0  # seconds before the next start, for each runner that has died idle
_TOLD = (
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


class Reports:
    """What one consumer hears from its runners, one after the other."""

    def __init__(self, holding: Holding, doubts: Doubts, link: RunnerLink, clock: Clock) -> None:
        self._holding = holding
        self._doubts = doubts
        self._link = link
        self._clock = clock
        self._handlers: dict[str, str] = {}  # what ran last in each queue: a runner that dies tells nothing
        self._idle_deaths = 0

    def collect(self) -> float:
        """Note what was reported since the last call; the seconds to rest, where runners do not even start."""
        for message in self._link.results():
            self._note(message)
        return self._mourn_runner() if self._link.is_dead else 0.0

    def _note(self, message: Message) -> None:
        job = self._holding.outstanding.get(message["job"])
        if job is None or job.attempt != message["attempt"]:
            return  # given back meanwhile
        self._idle_deaths = 0
        if "handler" in message:
            self._handlers[job.queue] = message["handler"]
        if "unfit" in message:
            self._doubts.set_aside(job.queue, message["error"])
        self._holding.finish(job, _outcome(message))
        self._holding.batch.measure(message.get("run_seconds", 0.0))

    def _mourn_runner(self) -> float:
        """The runner died: exactly the job in the slot is charged, all others go to the next runner."""
        running = self._link.running()
        said, cause = self._link.bury()
        for message in said:
            self._note(message)
        victim = self._holding.outstanding.get(running.job) if running else None
        if victim is not None and running is not None and victim.attempt == running.attempt:
            seconds = self._clock.boottime() - running.started
            outcome = Outcome(
                Kind.CRASHED, f"its handler took the runner down ({cause})",
                started_at=self._clock.now() - seconds, run_seconds=seconds,
                handler=self._handlers.get(victim.queue),
            )  # fmt: skip
            self._holding.finish(victim, outcome)
            self._holding.discard_scratch(victim)
        else:
            self._idle_deaths += 1
        return self._despair(cause) if self._idle_deaths >= _QUICK_DEATHS else 0.0

    def _despair(self, cause: str) -> float:
        emit(Word.ALARM, what="the runner dies before it runs anything", cause=cause)
        self._holding.give_back("the runner does not start")
        return _REST * self._idle_deaths


def _outcome(message: Message) -> Outcome:
    fields: dict[str, Any] = {name: message[name] for name in _TOLD if name in message}
    if "used" in message:
        fields["used"] = Used(**message["used"])
    return Outcome(Kind(message["kind"]), **fields)
