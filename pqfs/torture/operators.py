"""Presses hold, release, cancel, retry, fail and delete at random, and writes down what was answered.

A process of its own (`python -m pqfs.torture.operators ROOT SEED STORM`): most acts go through the verbs of
jobqueue in this process, which chaos kills now and then in the middle of one; some through the command line, which
this process kills itself. One act at a time, so that the order of acts on a job is known.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from pqfs.clock import SystemClock
from pqfs.errors import PqfsError, Refused
from pqfs.jobqueue import JobQueue
from pqfs.listing import NEWEST
from pqfs.model import Job, State
from pqfs.torture.actors import Actor, act_alone
from pqfs.torture.books import Book
from pqfs.torture.ground import Ground
from pqfs.torture.payload import number_in
from pqfs.wiring import App, open_app

_BY_COMMAND = 0.15
_KILLED = 0.3  # of the commands
_PAUSE = 0.25

_FROM: dict[str, tuple[State, ...]] = {
    "hold": (State.PENDING,),
    "release": (State.HELD,),
    "cancel": (State.PENDING, State.PROCESSING, State.HELD),
    "retry": (State.FAILED, State.UNPROCESSABLE, State.CANCELLED),
    "fail": (State.PENDING, State.HELD),
    "delete": (State.COMPLETED, State.FAILED, State.UNPROCESSABLE, State.CANCELLED),
}
_WEIGHTS = {"hold": 6, "release": 6, "cancel": 5, "retry": 5, "fail": 1, "delete": 2}
_LOOKS = (("status",), ("ps", "--json"), ("jobs", "list"), ("rejected", "list"), ("fsck", "--json"))

Verb = Callable[[JobQueue, Job, str, str | None, float], object]
_VERBS: dict[str, Verb] = {
    "hold": JobQueue.hold, "release": JobQueue.release, "cancel": JobQueue.cancel, "retry": JobQueue.redrive,
    "fail": JobQueue.fail, "delete": JobQueue.delete,
}  # fmt: skip


class Operator:
    """One person who trusts nothing and presses everything."""

    def __init__(self, ground: Ground, app: App, chance: random.Random) -> None:
        self._ground, self._app, self._chance = ground, app, chance
        self._clock = SystemClock()
        self._book = Book(ground.books / f"acts-{time.monotonic_ns()}-{os.getpid()}.jsonl")
        self._kills = Book(ground.books / "kills-operator.jsonl")

    def run(self, actor: Actor) -> None:
        """Act until the actor is asked to end."""
        while not actor.is_over:
            if self._chance.random() < 0.03:
                self._look_on()
            else:
                self._act(self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0])
            actor.rest(self._chance.uniform(0.0, 2 * _PAUSE))

    def _act(self, verb: str) -> None:
        """One act on one job, its begin written before it and its answer after it."""
        job = self._choose(verb)
        if job is None:
            return
        self._book.write(
            phase="begin", at=self._clock.now(), verb=verb, job=job.id, name=job.name.decode(), state=job.state,
            attempt=job.attempt,
        )  # fmt: skip
        by_command = self._chance.random() < _BY_COMMAND
        answer = self._by_command(verb, job) if by_command else self._by_verb(verb, job)
        self._book.write(phase="end", at=self._clock.now(), verb=verb, job=job.id, answer=answer)

    def _choose(self, verb: str) -> Job | None:
        state = self._chance.choice(_FROM[verb])
        found = self._app.index.jobs(state, None, NEWEST, 40)
        if verb == "delete":  # what is deleted can be accounted for by its name only
            found = [job for job in found if number_in(job.name.decode()) is not None]
        return self._chance.choice(found) if found else None

    def _by_verb(self, verb: str, job: Job) -> str:
        """`done`, `asked` (of a job that runs), `refused`, or `unknown`."""
        try:
            given = _VERBS[verb](self._app.jobqueue, job, "torture", None, self._clock.now())
        except Refused:
            return "refused"
        except (PqfsError, OSError):  # the index is busy, the disk is full: it may be done all the same
            return "unknown"
        if verb == "delete":
            return "done" if given else "unknown"
        return "asked" if isinstance(given, Job) and given.state is State.PROCESSING else "done"

    def _by_command(self, verb: str, job: Job) -> str:
        command = self._ground.speak("jobs", verb, job.id)
        return "done" if self._wait_or_kill(command, verb) == 0 else "unknown"

    def _look_on(self) -> None:
        """A question to the running stack; no answer may be an error of ours."""
        arguments = self._chance.choice((*_LOOKS, ("why", self._some_path())))
        code = self._wait_or_kill(self._ground.speak(*arguments), arguments[0])
        self._book.write(phase="look", at=self._clock.now(), verb=arguments[0], code=code)

    def _some_path(self) -> str:
        inbox = sorted(Path(self._ground.inbox("default")).iterdir())
        return str(self._chance.choice(inbox)) if inbox else str(self._ground.spool / "inbox" / "nothing")

    def _wait_or_kill(self, command: subprocess.Popen[bytes], verb: str) -> int | None:
        """The command's exit code; None when it was killed on its way."""
        if self._chance.random() < _KILLED:
            time.sleep(self._chance.uniform(0.1, 0.7))
            if command.poll() is None:
                command.kill()
                self._kills.write(kind="verb", verb=verb, at=self._clock.now())
                command.communicate()
                return None
        command.communicate()
        return command.returncode


def main() -> None:
    """Act until TERM."""
    with act_alone() as (ground, seed, actor):
        app = open_app(ground.loaded())
        # After each death another person: the plan goes on, it does not begin anew.
        begun = len(list(ground.books.glob("acts-*.jsonl")))
        Operator(ground, app, random.Random(f"{seed}/operator/{begun}")).run(actor)
        app.close()


if __name__ == "__main__":
    main()
