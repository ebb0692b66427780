"""Makes rows of what the tree holds and the index does not know: after the loss of an index, or of part of it.

Payloads first, a thousand at a time, then outputs whose inputs are gone. It can be killed and started again at any
moment: what is registered is known the next time. Nobody may work on the spool meanwhile but living arrivers, whose
directories are left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from pqfs import naming
from pqfs.clock import Clock
from pqfs.index.census import Census
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Place, State
from pqfs.naming import Claimed, Parked
from pqfs.owners import Life, Owners
from pqfs.queueing import Queueing
from pqfs.schedules import Schedules
from pqfs.sieve import in_chunks
from pqfs.witness import Witness

_SORTED = 200_000  # names that are sorted at once: some 30 MiB
_MANY = 20_000  # tails that are looked for in one scan of the index


class Rebuild:
    """Registers what one spool holds."""

    def __init__(self, jobqueue: JobQueue, owners: Owners, clock: Clock) -> None:
        self._jobqueue = jobqueue
        self._spool = jobqueue.spool
        self._index = jobqueue.index
        self._census = Census(jobqueue.index.engine)
        self._owners = owners
        self._clock = clock
        self._witness = Witness(self._spool, jobqueue.settings)

    def run(self, progress: Callable[[int], None] = lambda count: None) -> dict[State, int]:
        """Register every payload and output that the index does not know: how many came back in each state.

        `progress` is called with how many names have been looked at since it was called last.
        """
        counts: Counter[State] = Counter()
        Queueing(self._jobqueue).restore(self._clock.now())
        Schedules(self._jobqueue).restore(self._clock.now())
        for directory in self._spool.payload_directories():
            if self._is_arriving(directory):
                continue
            for names in self._in_order(directory):
                counts.update(self.register(f"{directory}/{name}" for name in names))
                progress(len(names))
        for paths in in_chunks(self._outputs(), _MANY):
            counts.update(self.register_outputs(paths))
            progress(len(paths))
        return dict(counts)

    def _in_order(self, directory: str) -> Iterator[list[str]]:
        """The files of a directory, some at a time; by id as far as memory allows, which spares the disk."""
        files = (name for name, is_file in self._spool.listing(directory) if is_file)
        for names in in_chunks(files, _SORTED):
            yield from in_chunks(sorted(names))

    def register(self, paths: Iterable[str]) -> list[State]:
        """Register the payloads at these paths that the index does not know; the states in which they came back."""
        named = [(path, name) for path in paths if (name := parse_payload(path))]
        known = self._census.of({name.job for _, name in named})
        told = [(path, self._witness.job(path, name)) for path, name in named if name.job not in known]
        jobs = [self._in_place(path, job) for path, job in told if job]
        if jobs:
            self._register(jobs)
        return [job.state for job in jobs]

    def _in_place(self, path: str, job: Job) -> Job:
        """Confirmed at once when its payload lies where its row will say."""
        return replace(job, confirmed=self._spool.payload_path(job) == path)

    def _register(self, jobs: Sequence[Job]) -> None:
        with self._index.transaction():
            for queue in sorted({job.queue for job in jobs}):
                self._index.create_queue(queue, self._clock.now())
            self._index.restore_all(jobs)
            self._jobqueue.duplicates.remember(jobs)
        # Crash here: rows not confirmed; reconcile moves their payloads and confirms.
        moving = [job for job in jobs if not job.confirmed]
        for job in moving:
            self._spool.settle(job)
        self._jobqueue.confirm(moving)

    def _is_arriving(self, directory: str) -> bool:
        """The directory of a living arriver is that one's: its payloads are its to commit, or still being written."""
        first, _, arriver = directory.partition("/")
        return first == "ready" and self._owners.life(arriver) is Life.ALIVE

    # ---------------------------------------------------------------- outputs

    def _outputs(self) -> Iterator[str]:
        """The outputs that no row says it published."""
        for directory in ("outbox", *(f"outbox/{name}" for name in self._queue_folders())):
            for entries in in_chunks(self._spool.listing(directory)):
                names = [name for name, _ in entries if naming.output_id12(name) and naming.is_text(name)]
                known = self._census.of_outputs(names)
                yield from (f"{directory}/{name}" for name in names if name not in known)

    def _queue_folders(self) -> Iterator[str]:
        for name, is_file in self._spool.listing("outbox"):
            if not is_file and naming.is_queue(name):
                yield name

    def register_outputs(self, paths: Iterable[str]) -> list[State]:
        """Make a completed row for each of these outputs whose job the index does not know."""
        told = [job for path in paths if (job := self._witness.job_of_output(path))]
        known = self._census.of_tails({naming.id12(job.id) for job in told})
        jobs = [job for job in told if naming.id12(job.id) not in known]
        if jobs:
            self._register(jobs)
        return [job.state for job in jobs]


def parse_payload(path: str) -> Parked | Claimed | None:
    """What the name of a payload at this path says; None when it is not named as one."""
    directory, _, name = path.rpartition("/")
    return naming.parse_claimed(name) if directory == Place.CLAIMED else naming.parse_parked(name)
