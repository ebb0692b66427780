"""Takes payloads in for as long as a process lives, under one owner's name: see `submission` for what that is.

A process that submits again and again has one directory in ready/, and not one for each job.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pqfs.clock import Clock
from pqfs.jobqueue import JobQueue
from pqfs.submission import Submitter


class Reception:
    """One submitter for all threads; `lock` is held while one of them uses it."""

    def __init__(self, jobqueue: JobQueue, clock: Clock, lock: threading.RLock, program: str) -> None:
        self._jobqueue = jobqueue
        self._clock = clock
        self._lock = lock
        self._program = program
        self._submitter: Submitter | None = None

    @contextmanager
    def open(self) -> Iterator[Submitter]:
        """The submitter, with the quotas of this moment, for one commit.

        One whose commit has failed is given up: whether it happened or not, what it had moved is recovery's to adopt.
        """
        with self._lock:
            if self._submitter is None:
                self._submitter = Submitter(self._jobqueue, self._program, self._clock).__enter__()
            self._submitter.look()
            try:
                yield self._submitter
            finally:
                if self._submitter.is_broken:
                    self.close()

    def close(self) -> None:
        """Leave; what was staged and not committed is gone."""
        with self._lock:
            submitter, self._submitter = self._submitter, None
            if submitter:
                submitter.__exit__(None, None, None)
