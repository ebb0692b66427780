"""Which jobs are leased: pauses and limits hold exactly, and nothing starves, whatever keeps coming."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pqfs.dispatch import SHARE
from pqfs.index import Index
from pqfs.index.queuerows import QueueRows
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, Kind, Outcome, State
from pqfs.retry import RetryPolicy
from pqfs.settings import QueueSettings
from pqfs.why import why
from tests.opened import app_of
from tests.world import SettableClock, invariants, submitted, write_output

AGING = QueueSettings().aging
DUE = 60.0


class Line:
    """One consumer at a time before a spool whose queues are steered by their rows."""

    def __init__(self, jobqueue: JobQueue, clock: SettableClock) -> None:
        self.jobqueue, self.clock, self.index = jobqueue, clock, jobqueue.index

    def wish(self, queue: str, **more: Any) -> None:
        """What people set: settings by name, and the fields of a pause."""
        with self.index.transaction():
            self.index.create_queue(queue, self.clock.now())
            (row,) = [row for row in self.index.queues() if row.name == queue]
            pause = {name: more.pop(name) for name in list(more) if name.startswith("paused_")}
            text = json.dumps({**json.loads(row.settings or "{}"), **more})
            assert QueueRows(self.index.engine).wish(replace(row, settings=text, **pause))

    def come(self, count: int, queue: str = "default", **more: Any) -> list[Job]:
        """So many new jobs."""
        with self.index.transaction():
            self.index.create_queue(queue, self.clock.now())
        return [submitted(self.jobqueue, self.clock.now(), queue=queue, **more) for _ in range(count)]

    def claim(self, limit: int = 100, owner: str = "one", queues: Sequence[str] | None = None) -> list[Job]:
        return self.jobqueue.claim(owner, queues, limit, self.clock.now())

    def finish(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            assert self.jobqueue.spool.start(job)
            size, digest = write_output(self.jobqueue.spool, job)
            outcome = Outcome(Kind.DONE, started_at=self.clock.now(), output_size=size, output_sha256=digest)
            self.jobqueue.end(job, outcome, self.clock.now())

    def why(self, job: Job) -> str:
        return " ".join(why(app_of(self.jobqueue, self.clock), job.id).sentences)


@pytest.fixture
def line(jobqueue: JobQueue, clock: SettableClock) -> Line:
    return Line(jobqueue, clock)


# -------------------------------------------------------------------- pause


def test_a_paused_queue_is_not_claimed_from_and_others_are(line: Line) -> None:
    line.wish("mail", paused_at=line.clock.now(), paused_by="ann", paused_reason="the printer burns")
    (waiting,) = line.come(1, "mail")
    (other,) = line.come(1)

    assert [job.id for job in line.claim()] == [other.id]
    assert "Queue mail is paused by ann since 2027-01-15T08:00:00.000000Z: the printer burns." in line.why(waiting)


def test_a_pause_is_over_when_its_time_has_passed_whoever_sees_to_it(line: Line) -> None:
    (job,) = line.come(1)
    line.wish("default", paused_at=line.clock.now(), paused_until=line.clock.now() + DUE)

    assert line.claim() == []
    assert "until 2027-01-15T08:01:00.000000Z" in line.why(job)
    line.clock.pass_by(DUE)
    assert "paused" not in line.why(job)
    assert [each.id for each in line.claim()] == [job.id]


def test_a_pause_that_was_made_between_two_claims_is_seen_by_the_next(line: Line) -> None:
    """Also by a claim that rides on a finish: the rows are read inside its own transaction."""
    line.come(2)
    first = line.claim(1)
    line.wish("default", paused_at=line.clock.now())

    line.finish(first)

    assert line.claim(1) == []
    invariants(line.jobqueue.spool, line.index)


# -------------------------------------------------------------------- limits


def test_no_more_jobs_of_a_queue_run_at_once_than_its_concurrency(line: Line) -> None:
    line.wish("mail", concurrency=2)
    jobs = line.come(5, "mail")

    one, two = line.claim(owner="one"), line.claim(owner="two")

    assert [len(one), len(two), len(line.claim(owner="three"))] == [1, 1, 0]
    assert "Queue mail runs 2 jobs at once, and its concurrency is 2." in line.why(jobs[-1])
    line.finish(one)
    assert len(line.claim(owner="three")) == 1
    assert line.claim(owner="one") == []


def test_a_consumer_keeps_no_job_of_a_limited_queue_from_others(line: Line) -> None:
    """What it leases ahead could run elsewhere at once."""
    line.wish("mail", concurrency=4)
    line.come(8, "mail")
    line.come(8)

    mine = line.claim(owner="one")

    assert sorted(job.queue for job in mine).count("mail") == 1
    assert len([job for job in line.claim(owner="two") if job.queue == "mail"]) == 1


def test_no_more_jobs_start_in_a_minute_than_the_claim_rate(line: Line) -> None:
    line.wish("default", claim_rate="3/minute")
    line.clock.wall -= line.clock.wall % 60
    jobs = line.come(8)

    assert [len(line.claim(2)), len(line.claim(2)), len(line.claim(2))] == [2, 1, 0]
    assert "started 3 jobs this minute, and its claim_rate is 3/minute" in line.why(jobs[-1])
    line.clock.pass_by(59.0)
    assert line.claim() == []
    line.clock.pass_by(1.0)
    assert len(line.claim()) == 3


def test_what_is_given_back_unstarted_has_used_up_nothing(line: Line) -> None:
    line.wish("default", claim_rate="3/m")
    line.come(5)
    line.jobqueue.give_back(line.claim(), "it drains", line.clock.now())

    assert len(line.claim()) == 3


def test_terms_that_were_set_last_are_those_that_count(line: Line) -> None:
    """Retries as well: the next failure is judged by them."""
    (job,) = line.come(1)
    line.wish("default", max_failures="1")
    (job,) = line.claim()
    assert line.jobqueue.spool.start(job)

    line.jobqueue.end(job, Outcome(Kind.FAILED, "no", started_at=line.clock.now()), line.clock.now())

    found = line.index.job(job.id)
    assert found is not None and found.state is State.FAILED
    assert line.jobqueue.terms.queue("default").retry_policy() == RetryPolicy(max_failures=1)


def test_terms_that_can_not_be_obeyed_leave_those_of_the_file(line: Line) -> None:
    line.wish("default", max_failures=0, nonsense=1)

    line.jobqueue.terms.look()

    assert line.jobqueue.terms.queue("default") == line.jobqueue.settings.queue("default")


# -------------------------------------------------------------------- age


def test_an_old_job_is_claimed_although_better_ones_wait(line: Line) -> None:
    (old,) = line.come(1)
    line.clock.pass_by(AGING)
    line.come(20, priority=5)

    assert line.claim(8)[0].id == old.id


def test_a_job_that_is_not_old_yet_waits_for_its_turn(line: Line) -> None:
    (young,) = line.come(1)
    line.clock.pass_by(AGING - 1)
    line.come(20, priority=5)

    assert young.id not in {job.id for job in line.claim(16)}


def test_the_old_get_one_claimed_job_in_eight_and_no_more(line: Line) -> None:
    old = {job.id for job in line.come(100)}
    line.clock.pass_by(AGING)
    line.come(100, priority=5)

    claims = [line.claim(1)[0].id in old for _ in range(5 * SHARE)]

    assert claims.count(True) == 5
    assert sum(job.id in old for job in line.claim(4 * SHARE)) == 4


def test_the_longest_waiting_of_all_queues_and_priorities_comes_first(line: Line) -> None:
    (oldest,) = line.come(1, "mail", priority=-5)
    line.clock.pass_by(1.0)
    (second,) = line.come(1, priority=-9)
    line.clock.pass_by(1.0)
    (third,) = line.come(1, "mail", priority=1)
    line.clock.pass_by(AGING)
    line.come(60, priority=5)

    jobs = line.claim(3 * SHARE)

    assert [job.id for job in jobs[:3]] == [oldest.id, second.id, third.id]


def test_a_queue_may_have_an_age_of_its_own(line: Line) -> None:
    line.wish("mail", aging="1m")
    (mail,) = line.come(1, "mail")
    line.come(1)
    line.clock.pass_by(60.0)
    line.come(20, priority=5)

    assert line.claim(2)[0].id == mail.id


def test_age_breaks_no_limit(line: Line) -> None:
    line.wish("mail", concurrency=1)
    old = line.come(3, "mail")
    line.clock.pass_by(AGING)
    line.come(20, "mail", priority=5)
    line.come(20, priority=9)

    first = line.claim(SHARE)

    assert [job.id for job in first if job.queue == "mail"] == [old[0].id]
    assert [job for job in line.claim(3 * SHARE) if job.queue == "mail"] == []


def test_jobs_of_one_priority_keep_their_order_however_old(line: Line) -> None:
    jobs = line.come(30)
    line.clock.pass_by(10 * AGING)

    claimed = [job.id for _ in range(3) for job in line.claim(10)]

    assert claimed == [job.id for job in jobs]


def _soak(line: Line, seconds: float, arrivals: Callable[[int], int]) -> float:
    """Every second more urgent jobs come than can be claimed; how long the longest waiting of others had to."""
    waiting = {job.id: line.clock.now() for job in line.come(20, priority=-1) + line.come(20, "mail")}
    longest = 0.0
    for second in range(int(seconds)):
        line.clock.pass_by(1.0)
        line.come(arrivals(second), priority=5)
        jobs = line.claim(4)
        for job in jobs:
            if since := waiting.pop(job.id, None):
                longest = max(longest, line.clock.now() - since)
        line.finish(jobs)
        if not waiting:
            return longest
    raise AssertionError(f"{len(waiting)} jobs starve")


@pytest.mark.slow
def test_nothing_starves_while_better_jobs_keep_coming_for_ever(line: Line) -> None:
    """Forty jobs that priority would never let run, an eighth of four claims a second: 80 seconds after they age."""
    line.wish("default", aging="30s")
    line.wish("mail", aging="30s")

    longest = _soak(line, 200, arrivals=lambda second: 4 + second % 3)

    assert 30.0 <= longest <= 30.0 + 2 * 40 * SHARE / 4
    invariants(line.jobqueue.spool, line.index)


# -------------------------------------------------------------------- what it costs


def _statements(index: Index, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    for name in ("run", "run_many"):
        real = getattr(index.engine, name)

        def counted(statement: str, parameters: Any, real: Any = real) -> Any:
            told.append(statement)
            return real(statement, parameters)

        monkeypatch.setattr(index.engine, name, counted)
    return told


def test_a_claim_without_limits_and_age_runs_no_statement_more(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether anything is old is asked once, and then not before the oldest can be."""
    line.come(50)
    line.claim(4)
    told = _statements(line.index, monkeypatch)

    line.claim(4)
    line.clock.pass_by(AGING / 2)
    line.claim(4)

    assert told == ["queues", "wake_due", "claimable", "claimable_assigned", "claim"] * 2
    line.clock.pass_by(AGING / 2)
    del told[:]
    line.claim(4)
    assert told == ["queues", "wake_due", "claimable", "claimable_assigned", "levels", "claim"]


def test_a_clock_that_was_set_back_keeps_nobody_waiting_for_long(line: Line) -> None:
    line.come(5, priority=5)
    line.claim(1)
    line.clock.step(-86400.0)
    (old,) = line.come(1)
    line.clock.pass_by(AGING)
    line.come(20, priority=5)

    assert line.claim(1)[0].id == old.id
