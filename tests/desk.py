"""The consumer's side of one runner: what the tests of runners, limits and confinement speak to it with."""

from __future__ import annotations

import select
from pathlib import Path
from typing import Any

from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Place
from pqfs.runnerlink import RunnerLink
from tests.world import SettableClock, eventually, submitted


class Desk:
    """The consumer's side of one runner: submits, claims, sends, and waits for what is said."""

    def __init__(self, jobqueue: JobQueue, link: RunnerLink, clock: SettableClock) -> None:
        self.jobqueue, self.link, self.clock = jobqueue, link, clock
        self.spool = jobqueue.spool
        self.said: list[dict[str, Any]] = []

    def send(self, queue: str, data: bytes = b"payload", name: bytes = b"name", **more: Any) -> Job:
        """A claimed job, sent to the runner."""
        submitted(self.jobqueue, self.clock.now(), name, data, queue=queue, **more)
        (job,) = self.jobqueue.claim("owner", [queue], 1, self.clock.now())
        self.link.send([job])
        return job

    def answer(self) -> dict[str, Any]:
        """The next thing that the runner says."""

        def said() -> list[dict[str, Any]]:
            if not self.said:
                select.select([self.link.channel], [], [], 1.0)
                self.said += self.link.results()
            return self.said

        return eventually(said, "the runner answers").pop(0)

    def run(self, queue: str, data: bytes = b"payload", **more: Any) -> tuple[Job, dict[str, Any]]:
        """A job and how its attempt ended."""
        job = self.send(queue, data, **more)
        return job, self.answer()

    def staged(self, job: Job) -> Path:
        """Where its complete output waits."""
        return self.spool.path(self.spool.scratch_path("owner", job.id, job.attempt, "out"))

    def claimed(self, job: Job) -> Path:
        """Where its payload stands while it runs."""
        return self.spool.path(self.spool.payload_path(job, Place.CLAIMED))

    def scratch(self) -> list[str]:
        """What lies in the owner's work directory."""
        return self.spool.entries("work/owner")
