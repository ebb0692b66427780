"""What every backend of `pqfs.Queue` has to do, as tests. A second backend is one class that passes them.

    # test_mine.py
    from pqfs.testing.contract import QueueContract

    class TestMine(QueueContract):
        def open(self, folder, clock):
            return MyQueue(folder, clock)

`open` is called more than once with one folder: each call is one more program on the same queue. The queue has the
usual settings (three failures, leases of 30 seconds), and takes the time from the clock that it is given: a lease
that has run out by that clock is over at the next call of anybody. Needs pytest.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs.errors import JobNotFound, LeaseLost, Refused, TimedOut
from pqfs.interface import LeasedJob, Payload, Queue
from pqfs.model import State
from pqfs.testing import SettableClock

_LEASE = 30.0


class QueueContract(ABC):
    """Subclass it, say how a queue is opened, and let pytest collect it."""

    @abstractmethod
    def open(self, folder: Path, clock: SettableClock) -> Queue:
        """Open the one queue of a folder."""

    @pytest.fixture
    def clock(self) -> SettableClock:
        """The time."""
        return SettableClock()

    @pytest.fixture
    def queue(self, tmp_path: Path, clock: SettableClock) -> Iterator[Queue]:
        """An empty queue."""
        with self.open(tmp_path, clock) as queue:
            yield queue

    # ---------------------------------------------------------------- producers

    @pytest.mark.parametrize("kind", ["bytes", "text", "path", "file"])
    def test_whatever_a_payload_is_given_as_it_arrives_whole(self, queue: Queue, tmp_path: Path, kind: str) -> None:
        """Bytes, text, a path, an open file."""
        (tmp_path / "given.txt").write_bytes(b"payload")
        given: dict[str, Payload] = {
            "bytes": b"payload",
            "text": "payload",
            "path": tmp_path / "given.txt",
            "file": io.BytesIO(b"payload"),
        }

        job = queue.enqueue(given[kind])

        leased = _next(queue)
        assert (leased.id, leased.attempt, leased.size, leased.path.read_bytes()) == (job, 1, 7, b"payload")

    def test_a_job_has_what_it_was_given(self, queue: Queue) -> None:
        """Name, priority, metadata."""
        job = queue.enqueue(b"", name="letter é.txt", priority=7, metadata={"from": "lab 3"})

        leased = _next(queue)
        assert (leased.name, leased.metadata["from"]) == ("letter é.txt", "lab 3")
        assert queue.get(job).priority == 7

    def test_a_higher_priority_comes_first_and_equals_in_order(self, queue: Queue) -> None:
        """Then by age."""
        jobs = [queue.enqueue(b"", priority=priority) for priority in (0, 5, 0, 5)]

        assert [_next(queue).id for _ in jobs] == [jobs[1], jobs[3], jobs[0], jobs[2]]

    def test_a_delayed_job_is_not_given_out_before_its_time(self, queue: Queue, clock: SettableClock) -> None:
        """And is afterwards."""
        job = queue.enqueue(b"", delay=60.0)
        assert queue.dequeue() is None

        clock.pass_by(61.0)

        assert _next(queue).id == job

    def test_a_known_key_is_answered_with_its_job(self, queue: Queue) -> None:
        """Idempotency: while the first one waits, runs, or is completed; a failed one is nobody's answer."""
        first = queue.enqueue(b"one", key="k")
        assert queue.enqueue(b"two", key="k") == first
        assert queue.enqueue(b"two", key="other") != first
        queue.acknowledge(_next(queue))
        assert queue.enqueue(b"three", key="k") == first

        queue.move_to_dead_letter(_next(queue), "no")

        assert queue.enqueue(b"four", key="other") != first

    @pytest.mark.parametrize("name", ["", "a/b", "..", "."])
    def test_a_name_that_is_none_is_refused(self, queue: Queue, name: str) -> None:
        """And nothing is left of it."""
        with pytest.raises(Refused):
            queue.enqueue(b"", name=name)

        assert queue.list() == ()

    # ---------------------------------------------------------------- consumers

    def test_an_empty_queue_gives_none(self, queue: Queue) -> None:
        """At once, and after a wait."""
        assert queue.dequeue() is None
        assert queue.dequeue(wait=0.01) is None

    def test_a_job_is_leased_to_one_at_a_time(self, queue: Queue, tmp_path: Path, clock: SettableClock) -> None:
        """Two programs."""
        queue.enqueue(b"")
        with self.open(tmp_path, clock) as other:
            leased = _next(queue)
            assert other.dequeue() is None
            assert queue.dequeue() is None
            assert leased.lease_end == pytest.approx(clock.now() + _LEASE)
            assert queue.get(leased.id).state is State.PROCESSING

    def test_what_is_acknowledged_is_completed_once(self, queue: Queue) -> None:
        """And the same answer comes again."""
        queue.enqueue(b"payload")
        leased = _next(queue)

        job = queue.acknowledge(leased, "output")

        assert (job.state, job.attempt, job.output_size) == (State.COMPLETED, 1, 6)
        assert queue.acknowledge(leased, "another").output == job.output
        assert queue.get(job.id).output_size == 6
        assert queue.wait(job.id, 1.0).id == job.id
        with pytest.raises(LeaseLost):
            queue.fail(leased, "too late")

    def test_what_is_given_back_costs_nothing_and_may_wait(self, queue: Queue, clock: SettableClock) -> None:
        """Another attempt of the same job."""
        job = queue.enqueue(b"payload")

        given = queue.requeue(_next(queue), delay=60.0, reason="not now")

        assert (given.id, given.state, given.failures, given.losses) == (job, State.PENDING, 0, 0)
        assert queue.dequeue() is None
        clock.pass_by(61.0)
        leased = _next(queue)
        assert (leased.id, leased.attempt, leased.path.read_bytes()) == (job, 2, b"payload")

    def test_a_job_fails_for_good_after_three_failures(self, queue: Queue, clock: SettableClock) -> None:
        """Retried in between, after a pause; a repeated answer is not charged twice."""
        job = queue.enqueue(b"")
        for failures in (1, 2):
            leased = _next(queue)
            assert queue.fail(leased, "it said no").failures == failures
            assert queue.fail(leased, "it said no").failures == failures
            clock.pass_by(3600.0)

        assert queue.fail(_next(queue), "it said no").state is State.FAILED
        assert (queue.get(job).error, queue.dequeue()) == ("it said no", None)

    def test_a_dead_letter_is_not_retried(self, queue: Queue, clock: SettableClock) -> None:
        """At its first attempt."""
        queue.enqueue(b"")
        leased = _next(queue)

        dead = queue.move_to_dead_letter(leased, "not in this format")

        assert (dead.state, dead.error) == (State.FAILED, "not in this format")
        assert queue.move_to_dead_letter(leased, "again").error == "not in this format"
        clock.pass_by(3600.0)
        assert queue.dequeue() is None

    def test_a_lease_that_runs_out_is_given_back_and_its_holder_publishes_nothing(
        self, queue: Queue, clock: SettableClock
    ) -> None:
        """At the price of a loss."""
        job = queue.enqueue(b"payload")
        late = _next(queue)
        clock.pass_by(_LEASE + 1)

        again = _next(queue)

        assert (again.id, again.attempt) == (job, 2)
        for act in (queue.acknowledge, queue.extend, queue.requeue):
            with pytest.raises(LeaseLost):
                act(late)
        with pytest.raises(LeaseLost):
            queue.fail(late, "late")
        assert queue.get(job).losses == 1
        assert queue.acknowledge(again, "output").attempt == 2

    def test_an_extended_lease_lasts(self, queue: Queue, clock: SettableClock) -> None:
        """As long as was asked for."""
        queue.enqueue(b"")
        leased = _next(queue)
        clock.pass_by(_LEASE - 1)

        extended = queue.extend(leased, 60.0)

        assert extended.lease_end == pytest.approx(clock.now() + 60.0)
        clock.pass_by(50.0)
        assert queue.dequeue() is None
        assert queue.acknowledge(extended).state is State.COMPLETED

    def test_who_closes_gives_back_at_no_cost(self, queue: Queue, tmp_path: Path, clock: SettableClock) -> None:
        """And may close twice."""
        other = self.open(tmp_path, clock)
        job = queue.enqueue(b"payload")
        assert _next(other).id == job

        other.close()
        other.close()

        leased = _next(queue)
        assert (leased.id, leased.attempt, queue.get(job).losses) == (job, 2, 0)

    # ---------------------------------------------------------------- everybody

    def test_an_unknown_job_is_told(self, queue: Queue) -> None:
        """By all who are asked for one."""
        for ask in (queue.get, queue.wait):
            with pytest.raises(JobNotFound):
                ask("01a3185c-5000-7001-89d8-d555156386ad")

    def test_who_waits_too_long_is_told(self, queue: Queue) -> None:
        """The job goes on."""
        with pytest.raises(TimedOut):
            queue.wait(queue.enqueue(b""), 0.01)

    def test_jobs_are_listed_in_pages_newest_first(self, queue: Queue) -> None:
        """By state, too."""
        jobs = [queue.enqueue(b"") for _ in range(5)]
        running = _next(queue).id

        first = queue.list(limit=2)
        rest = queue.list(before=first[-1].id)

        assert [job.id for job in (*first, *rest)] == jobs[::-1]
        assert [job.id for job in queue.list(state=State.PROCESSING)] == [running]

    def test_the_figures_are_those_of_the_queue(self, queue: Queue, clock: SettableClock) -> None:
        """Each state, and the longest wait."""
        assert (set(queue.stats().jobs.values()), queue.stats().oldest_wait) == ({0}, None)
        for _ in range(3):
            queue.enqueue(b"")
        queue.acknowledge(_next(queue))
        clock.pass_by(5.0)

        stats = queue.stats()

        assert (stats.jobs[State.PENDING], stats.jobs[State.COMPLETED]) == (2, 1)
        assert stats.oldest_wait == pytest.approx(5.0)


def _next(queue: Queue) -> LeasedJob:
    leased = queue.dequeue(lease=_LEASE)
    assert leased is not None
    return leased
