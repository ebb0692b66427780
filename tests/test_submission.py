"""Staging copies and making them jobs, whole or not at all; and the drop of those who may not write the spool."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.durations import Size
from pqfs.errors import DiskFull, Refused
from pqfs.index import walk
from pqfs.jobqueue import JobQueue
from pqfs.owners import Owners
from pqfs.settings import QueueSettings, Settings
from pqfs.spool import Spool
from pqfs.submission import Submitter, Wish, check_source, drop, may_submit
from tests.world import EPOCH, SettableClock, invariants


def left_over(spool: Spool) -> list[str]:
    """What a submitter must not leave behind."""
    return [*spool.entries("work"), *spool.entries("run"), *spool.entries("ready")]


def ignore(count: int) -> None:
    """Progress that nobody watches."""


def test_what_was_staged_is_jobs_at_the_commit_and_not_before(jobqueue: JobQueue, clock: SettableClock) -> None:
    with Submitter(jobqueue, "submit", clock) as me:
        wish = Wish(priority=4, ready_at=clock.now() + 60)
        staged = [me.stage(io.BytesIO(data), data, wish) for data in (b"a", b"bb")]
        assert list(walk(jobqueue.index)) == []
        assert me.commit() == staged
        assert me.commit() == []

    found = list(walk(jobqueue.index))
    assert [(job.id, job.name, job.size, job.priority) for job in found] == [
        (each.id, each.name, each.size, 4) for each in staged
    ]
    assert Owners(jobqueue.spool.path("run")).names() == []
    invariants(jobqueue.spool, jobqueue.index)


@pytest.mark.parametrize(
    "wish", [Wish(), Wish(priority=-1000), Wish(priority=1000), Wish(ready_at=EPOCH + 3653 * 86400)]
)
def test_what_may_be_wished_is_within_bounds(wish: Wish) -> None:
    wish.check(EPOCH)


@pytest.mark.parametrize(
    "wish", [Wish(priority=1001), Wish(priority=-1001), Wish(ready_at=-1.0), Wish(ready_at=EPOCH + 3654 * 86400)]
)
def test_what_is_out_of_bounds_is_told(wish: Wish) -> None:
    with pytest.raises(ValueError, match="between"):
        wish.check(EPOCH)


def test_what_was_never_committed_leaves_nothing(jobqueue: JobQueue, clock: SettableClock) -> None:
    with pytest.raises(KeyboardInterrupt), Submitter(jobqueue, "submit", clock) as me:
        me.stage(io.BytesIO(b"payload"), b"a", Wish())
        raise KeyboardInterrupt

    assert list(walk(jobqueue.index)) == []
    assert left_over(jobqueue.spool) == []


def test_a_file_over_its_queues_limit_is_refused_and_the_others_go_on(
    jobqueue: JobQueue, clock: SettableClock
) -> None:
    queues = {"small": QueueSettings(max_size=Size(3))}
    small = JobQueue(jobqueue.spool, jobqueue.index, replace(jobqueue.settings, queues=queues))

    with Submitter(small, "submit", clock) as me:
        with pytest.raises(Refused, match="at most 3"):
            me.stage(io.BytesIO(b"four"), b"a", Wish("small"))
        me.stage(io.BytesIO(b"abc"), b"b", Wish("small"))
        me.commit()

    assert [job.name for job in walk(jobqueue.index)] == [b"b"]
    invariants(jobqueue.spool, jobqueue.index)


def test_a_disk_below_low_water_is_told_and_nothing_stays(
    jobqueue: JobQueue, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Spool, "is_below", lambda spool, low_water: True)

    with pytest.raises(DiskFull), Submitter(jobqueue, "submit", clock) as me:
        me.stage(io.BytesIO(b"payload"), b"a", Wish())

    assert left_over(jobqueue.spool) == []


def test_a_drop_shows_the_whole_file_after_its_sidecar(spool: Spool) -> None:
    path = drop(spool.root, io.BytesIO(b"payload"), b"a", Wish(priority=3, ready_at=1_800_000_000.0), ignore)

    assert path.read_bytes() == b"payload"
    wished = json.loads(path.with_name("a.job.json").read_text())
    assert wished == {"priority": 3, "not_before": "2027-01-15T08:00:00.000000Z"}
    assert spool.entries("inbox", hidden=True) == ["a", "a.job.json"]


def test_a_drop_never_overwrites(spool: Spool) -> None:
    spool.path("inbox/a").symlink_to("/nowhere")

    with pytest.raises(Refused, match="still waits"):
        drop(spool.root, io.BytesIO(b"payload"), b"a", Wish(), ignore)

    assert spool.entries("inbox", hidden=True) == ["a"]


def test_a_drop_that_breaks_off_leaves_nothing(spool: Spool) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drop(spool.root, io.BytesIO(b"payload"), b"a", Wish(), interrupt)

    assert spool.entries("inbox", hidden=True) == []


@pytest.mark.parametrize(
    "closed", ["work", "ready", "meta", "run", pytest.param("index.db", marks=pytest.mark.sqlite)]
)
def test_who_may_not_write_every_part_of_the_spool_may_not_submit(
    jobqueue: JobQueue, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    root = jobqueue.spool.root
    assert may_submit(Settings(spool=root))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != closed and access(path, mode))

    assert not may_submit(Settings(spool=root))


def test_only_regular_files_can_be_submitted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"four")
    os.mkfifo(tmp_path / "fifo")

    assert check_source(tmp_path / "a") == 4
    for wrong in (tmp_path / "fifo", tmp_path, tmp_path / "none"):
        with pytest.raises(Refused):
            check_source(wrong)
