"""Queues with real processes on them: pauses, limits and drains hold while everything runs; kills break nothing."""

from __future__ import annotations

import signal
import subprocess

import pytest

from pqfs.model import State
from tests.process.conftest import MakeStage
from tests.process.stage import Stage, eventually

pytestmark = pytest.mark.slow

HANDLERS = """
import os, time
from pathlib import Path
from pqfs import Permanent

ROOT = Path(os.environ["PQFS_CONFIG"]).parent

def at_the_gate(context):
    gate = ROOT / "gate"
    while not gate.exists():
        time.sleep(0.002)
    return b"out"

def alone(context):
    try:
        os.close(os.open(ROOT / "busy", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        raise Permanent("two ran at once")
    time.sleep(0.01)
    (ROOT / "busy").unlink()
    return b"out"
"""
QUICK = "[consume]\nlease = 6\npoll_every = 0.2\ndrain = 5\nkill_after = 0.3\nprefetch = 0.2\n[defaults]\n"
GATE = QUICK + 'handler = {python = "own_handlers:at_the_gate"}\n'


def _ingest(stage: Stage, *names: str, data: bytes | None = None) -> None:
    for name in names:
        stage.drop(name, name.encode() if data is None else data)
    assert stage.start("ingest", None, "--drain").wait(20) == 0


def _queue(stage: Stage, *options: str) -> subprocess.Popen[bytes]:
    return stage.start("queue", None, *options)


def test_a_pause_stops_claims_at_once_and_what_runs_goes_on(make_stage: MakeStage) -> None:
    stage = make_stage(GATE + "[queues.mail]\n", HANDLERS)
    _ingest(stage, "first.txt")
    consumer = stage.consumer()
    eventually(lambda: stage.running(consumer), "the first job runs")

    assert _queue(stage, "pause", "default", "--reason", "it rains").wait(20) == 0
    _ingest(stage, "second.txt", "mail/other.txt")
    (stage.root / "gate").touch()

    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 2, "what ran, and the other queue's job, complete")
    assert [job.name for job in stage.jobs(State.PENDING)] == [b"second.txt"]
    assert _queue(stage, "resume", "default").wait(20) == 0
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 3, "the paused job completes")


def test_what_was_leased_ahead_of_a_pause_is_given_back_at_no_cost(make_stage: MakeStage) -> None:
    stage = make_stage(GATE.replace("prefetch = 0.2", "prefetch = 60"), HANDLERS)
    _ingest(stage, *(f"{number}.txt" for number in range(3)))
    consumer = stage.consumer()
    eventually(lambda: stage.running(consumer), "a job runs")
    eventually(lambda: len(stage.jobs(State.PROCESSING)) == 3, "all are leased")

    assert _queue(stage, "pause", "default").wait(20) == 0

    eventually(lambda: len(stage.jobs(State.PENDING)) == 2, "those that had not started wait again")
    (stage.root / "gate").touch()
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 1, "what ran completes")
    assert {(job.attempt, job.losses) for job in stage.jobs(State.PENDING)} == {(1, 0)}
    assert _queue(stage, "resume", "default").wait(20) == 0
    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 3, "all complete")


def test_a_pause_for_a_time_ends_by_itself(make_stage: MakeStage) -> None:
    stage = make_stage(QUICK, HANDLERS)
    assert _queue(stage, "pause", "default", "--for", "300ms").wait(20) == 0
    _ingest(stage, "a.txt")

    stage.consumer()

    eventually(lambda: stage.jobs(State.COMPLETED), "the job completes, and nobody has resumed its queue")


def test_a_queue_with_a_concurrency_of_one_never_runs_two_however_many_consumers(make_stage: MakeStage) -> None:
    stage = make_stage(QUICK + 'handler = {python = "own_handlers:alone"}\n', HANDLERS)
    assert _queue(stage, "set", "default", "concurrency=1").wait(20) == 0
    _ingest(stage, *(f"{number}.txt" for number in range(30)))

    for number in range(3):
        stage.consumer(f"consumer-0{number}")

    eventually(lambda: len(stage.jobs(State.COMPLETED)) == 30, "all complete, one after the other")
    assert stage.jobs(State.FAILED) == []


def test_a_drain_waits_until_everything_is_worked_off(make_stage: MakeStage) -> None:
    stage = make_stage(GATE, HANDLERS)
    _ingest(stage, *(f"{number}.txt" for number in range(5)))
    consumer = stage.consumer()
    eventually(lambda: stage.running(consumer), "a job runs")

    drain = _queue(stage, "drain", "default", "--timeout", "20s")
    eventually(lambda: "accepts" in str(stage.index.queues()[0].settings), "the queue is closed")
    stage.drop("late.txt", b"late")
    assert stage.start("ingest", None, "--once").wait(20) == 0
    assert drain.poll() is None
    (stage.root / "gate").touch()

    assert drain.wait(20) == 0
    assert len(stage.jobs(State.COMPLETED)) == 5
    assert (stage.spool / "inbox" / "late.txt").exists()


def test_after_a_drain_nothing_comes_in_any_more(make_stage: MakeStage) -> None:
    """An ingester in the midst of a sweep still goes by what it knew when that began."""
    stage = make_stage(QUICK, HANDLERS)
    ingester, _ = stage.start("ingest"), stage.consumer()
    for number in range(300):
        stage.drop(f"{number}.txt")
    eventually(lambda: stage.jobs(), "the first are taken")

    assert _queue(stage, "drain", "default", "--timeout", "20s").wait(40) == 0

    known = len(stage.jobs())
    assert len(stage.jobs(State.COMPLETED)) == known
    stage.drop("late.txt")
    ingester.terminate()
    assert ingester.wait(20) == 0
    left = len(list((stage.spool / "inbox").glob("*.txt")))
    assert len(stage.jobs()) == known and known + left == 301


def test_of_many_files_of_one_content_that_race_exactly_one_is_a_job(make_stage: MakeStage) -> None:
    stage = make_stage('[defaults]\nduplicates = "link"\n', HANDLERS)
    for number in range(40):
        stage.drop(f"{number}.txt", b"the same")

    ingesters = [stage.start("ingest", f"ingester-{number}", "--drain") for number in range(3)]

    assert [each.wait(20) for each in ingesters] == [0, 0, 0]
    assert len(stage.jobs()) == 1
    assert len(list((stage.spool / "rejected").glob("*.txt"))) == 39


def test_a_purge_that_is_killed_leaves_a_sound_spool_and_can_be_begun_again(make_stage: MakeStage) -> None:
    stage = make_stage(QUICK, HANDLERS)
    _ingest(stage, *(f"{number}.txt" for number in range(150)))

    for sent in (signal.SIGKILL, signal.SIGINT):
        before = len(stage.jobs())
        purge = _queue(stage, "purge", "default", "-y")
        eventually(lambda: len(stage.jobs()) < before - 10, "the purge is at work")  # noqa: B023 -- asked at once
        purge.send_signal(sent)
        assert purge.wait(20) in (-signal.SIGKILL, 130, 0)
        assert stage.start("janitor", None, "--once").wait(20) == 0
        assert stage.start("fsck").wait(20) == 0, stage.log("fsck")

    assert _queue(stage, "purge", "default", "-y").wait(20) == 0
    assert stage.jobs(State.PENDING) == []
