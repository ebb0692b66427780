"""Quotas: what is more than a queue may hold waits where it lies, in order, and holds up nobody else."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pqfs.durations import Size
from pqfs.errors import Misconfigured, Refused
from pqfs.inbox import Inbox
from pqfs.index import walk
from pqfs.ingester import Ingester
from pqfs.jobqueue import JobQueue
from pqfs.model import Kind, Outcome
from pqfs.naming import JobIds
from pqfs.quota import Quotas
from pqfs.settings import QueueSettings, Settings, load
from pqfs.submission import Submitter, Wish
from pqfs.validation import validated
from pqfs.why import why
from tests.opened import app_of
from tests.world import SettableClock, invariants

OWNER = "ingester.1.0123abcd"


class Dock:
    """An ingester, and a consumer that does what it is told."""

    def __init__(self, jobqueue: JobQueue, clock: SettableClock) -> None:
        self.jobqueue, self.clock = jobqueue, clock
        self.inbox = jobqueue.spool.path("inbox")
        self._mtime = 0
        self.start()

    def start(self) -> None:
        """Start the ingester, once more."""
        self.ingester = Ingester(
            self.jobqueue, Inbox(self.jobqueue.spool.root, self.jobqueue.settings), OWNER, self.clock
        )

    def drop(self, *names: str, size: int = 1) -> None:
        """Files, each younger than those before."""
        for name in names:
            path = self.inbox / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x" * size)
            self._mtime += 1
            os.utime(path, (self._mtime, self._mtime))

    def sweep(self) -> float:
        """One sweep; when the next is due."""
        return self.ingester.sweep().next_look

    def names(self) -> list[str]:
        """What has become a job, in order."""
        return [os.fsdecode(job.name) for job in walk(self.jobqueue.index)]

    def begin(self) -> None:
        """A consumer takes the next job: it waits no longer."""
        assert self.jobqueue.claim("consumer.1.aa", ["default"], 1, self.clock.now())

    def why(self, name: str) -> str:
        """What is said about a file of the inbox."""
        return " ".join(why(app_of(self.jobqueue, self.clock), str(self.inbox / name)).sentences)


Docking = Callable[..., Dock]


@pytest.fixture
def docking(jobqueue: JobQueue, clock: SettableClock) -> Iterator[Docking]:
    """`docking(max_files=2)` is a dock whose default queue has this quota, and a queue `mail` that has none."""

    def dock(**limits: object) -> Dock:
        limited = validated(QueueSettings, limits, {})
        settings = replace(jobqueue.settings, defaults=limited, queues={"mail": QueueSettings()})
        return Dock(JobQueue(jobqueue.spool, jobqueue.index, settings), clock)

    yield dock
    invariants(jobqueue.spool, jobqueue.index)


def test_more_files_than_may_wait_stay_in_the_inbox_and_come_in_order_as_room_appears(docking: Docking) -> None:
    dock = docking(max_files=2)
    dock.drop("a", "b", "c", "d")

    assert dock.sweep() <= 1.0
    assert dock.names() == ["a", "b"]
    dock.sweep()
    assert dock.names() == ["a", "b"]
    dock.begin()
    dock.drop("0")
    dock.sweep()

    assert dock.names() == ["a", "b", "c"]
    assert "it waits in the inbox" not in dock.why("c")
    assert "queue default has 2 files waiting, and max_files is 2" in dock.why("d")
    assert dock.ingester._quotas.refusals == ("queue default has 2 files waiting, and max_files is 2",)


def test_more_bytes_than_may_wait_stay_in_the_inbox_and_no_smaller_file_overtakes(docking: Docking) -> None:
    dock = docking(max_bytes=10)
    dock.drop("a", size=6)
    dock.drop("b", size=6)
    dock.drop("c", size=1)

    dock.sweep()
    assert dock.names() == ["a"]
    assert "queue default has 6 bytes waiting, and max_bytes is 10" in dock.why("b")
    dock.begin()
    dock.sweep()

    assert dock.names() == ["a", "b", "c"]


def test_a_file_that_no_room_could_hold_is_refused(docking: Docking) -> None:
    dock = docking(max_bytes=10)
    dock.drop("a", size=11)
    dock.drop("b")

    dock.sweep()

    assert dock.names() == ["b"]
    assert len(dock.jobqueue.spool.entries("rejected")) == 2


def test_no_more_are_taken_in_a_minute_than_the_rate_and_a_restart_forgets_nothing(
    docking: Docking, clock: SettableClock
) -> None:
    dock = docking(rate="3/m")
    dock.drop(*"abcdefgh")
    clock.pass_by(10)

    assert dock.sweep() == 50.0
    dock.start()
    assert dock.sweep() == 50.0
    assert dock.names() == ["a", "b", "c"]
    assert "has taken 3 files this minute, and rate is 3/m" in dock.why("d")
    clock.pass_by(50)
    dock.sweep()

    assert dock.names() == [*"abcdef"]


def test_one_queue_that_is_full_holds_up_no_other(docking: Docking) -> None:
    dock = docking(max_files=1)
    dock.drop("a", "b", "c", "mail/x", "mail/y")

    dock.sweep()

    assert sorted(dock.names()) == ["a", "x", "y"]


def test_a_flood_in_one_queue_does_not_delay_the_others(jobqueue: JobQueue, clock: SettableClock) -> None:
    by_fours = replace(jobqueue.settings.ingest, batch=4)
    settings = replace(jobqueue.settings, queues={"mail": QueueSettings()}, ingest=by_fours)
    dock = Dock(JobQueue(jobqueue.spool, jobqueue.index, settings), clock)
    dock.drop(*(f"{number:03}" for number in range(100)))
    dock.drop("mail/x")

    dock.sweep()

    assert dock.names().index("x") < 4, "it came last and is in the first batch"
    assert len(dock.names()) == 101


def test_a_sweep_ends_when_it_has_taken_for_a_while_and_the_inbox_is_listed_anew(
    docking: Docking, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = docking()
    dock.drop(*(f"{number:04}" for number in range(600)))
    ingest = dock.jobqueue.ingest

    def slowly(*arguments: Any) -> Any:
        twins = ingest(*arguments)
        clock.pass_by(3.0)
        return twins

    monkeypatch.setattr(dock.jobqueue, "ingest", slowly)
    assert dock.sweep() == 0.0
    assert len(dock.names()) == 256
    dock.drop("mail/x")
    dock.sweep()
    assert "x" in dock.names()
    dock.sweep()
    assert len(dock.names()) == 601


def test_a_crash_between_acceptance_and_commit_does_not_open_the_quota(
    docking: Docking, clock: SettableClock
) -> None:
    """What lies in ready/ without a row is counted once it is adopted; until then it may be exceeded by one batch."""
    dock = docking(max_files=2)
    dock.drop("a", "b", "c")
    dock.sweep()
    dock.start()
    dock.sweep()

    assert dock.names() == ["a", "b"]


def test_a_submit_beyond_the_quota_is_refused_in_one_sentence_and_leaves_nothing(
    docking: Docking, clock: SettableClock
) -> None:
    dock = docking(max_files=2, max_bytes=100)
    spool = dock.jobqueue.spool
    with Submitter(dock.jobqueue, "submit", clock) as me:
        me.stage(io.BytesIO(b"a"), b"a", Wish())
        me.stage(io.BytesIO(b"b"), b"b", Wish())
        with pytest.raises(Refused, match=r"Queue default has 2 files waiting, and max_files is 2\."):
            me.stage(io.BytesIO(b"c"), b"c", Wish())
        assert len(me.commit()) == 2
        with pytest.raises(Refused, match="2 files waiting"):
            me.stage(io.BytesIO(b"d"), b"d", Wish())
        me.stage(io.BytesIO(b"e"), b"e", Wish(queue="mail"))
        me.commit()

    assert sorted(dock.names()) == ["a", "b", "e"]
    assert spool.entries("work") == []


def test_held_jobs_wait_and_completed_ones_do_not(docking: Docking, clock: SettableClock) -> None:
    dock = docking(max_files=2, max_bytes=10)
    dock.drop("a", "b")
    dock.sweep()
    first, second = walk(dock.jobqueue.index)
    dock.jobqueue.hold(first, "ann", None, clock.now())
    quotas = Quotas(dock.jobqueue.index, dock.jobqueue.terms, clock.now())
    assert quotas.why_not("default", 1)
    assert dock.jobqueue.index.waiting_bytes("default") == 2

    [leased] = dock.jobqueue.claim("consumer.1.aa", ["default"], 1, clock.now())
    assert dock.jobqueue.spool.start(leased)
    dock.jobqueue.end(leased, Outcome(Kind.PERMANENT, "no", started_at=clock.now()), clock.now())

    assert leased.id == second.id
    assert Quotas(dock.jobqueue.index, dock.jobqueue.terms, clock.now()).why_not("default", 1) is None


@pytest.mark.parametrize("rate", ["10", "10/s", "0/m", "-1/m", "m", "1/m/m", "x/h"])
def test_a_rate_that_is_none_is_refused(rate: str, tmp_path: Path) -> None:
    (tmp_path / "pqfs.toml").write_text(f'[queues.mail]\nrate = "{rate}"\n')

    with pytest.raises(Misconfigured, match="is not a rate; write 100/m"):
        load({"config": str(tmp_path / "pqfs.toml")}, {})


def test_quotas_are_inherited_from_the_defaults() -> None:
    settings = validated(Settings, {"defaults": {"max_bytes": "1MiB"}}, {})

    assert settings.queue("any").largest == Size(2**20)
    assert JobIds().next(0.0)
