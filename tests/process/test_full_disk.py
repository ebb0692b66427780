"""A disk that fills up: work pauses, no budget is touched, nothing is lost, and it goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs.model import Job, State
from tests.process.stage import Stage, eventually

pytestmark = pytest.mark.root
SIZE = 1_500_000
COUNT = 12


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "pqfs-test", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


GREEDY = """[defaults]
handler = { command = ["sh", "-c", "head -c 8000000 /dev/zero > {output} || { echo failed; exit 1; }"] }
[queues.tidy]
handler = { command = ["sh", "-c", "head -c 8000000 /dev/zero > {output} || { rm {output}; exit 1; }"] }
[queues.many]
handler = { command = ["sh", "-c", "touch $(seq 5000)"] }
[consume]
poll_every = 0.2
"""


def _read_and_remove(stage: Stage, taken: dict[str, bytes]) -> int:
    """What a reader of the outbox does: take what is there, and make room by it. How many it has by now."""
    for path in stage.outbox.iterdir():
        taken[path.name] = path.read_bytes().partition(b"\n")[2]
        path.unlink()
    return len(taken)


def test_a_disk_that_fills_up_pauses_work_and_costs_no_job_anything(small_disk: Path) -> None:
    stage = Stage(small_disk, "[consume]\npoll_every = 0.2\n[ingest]\nsweep_every = 0.3\n")
    try:
        payloads = [bytes([number]) * SIZE for number in range(COUNT)]
        for number, payload in enumerate(payloads):
            stage.drop(f"big{number}", payload)
        stage.start("ingest", "ingester")
        stage.start("janitor")
        stage.consumer()
        said = ("paused", "no room")
        eventually(lambda: any(word in stage.log("consumer-00") for word in said), "work pauses")
        assert len(stage.jobs(State.COMPLETED)) < COUNT

        taken: dict[str, bytes] = {}
        eventually(lambda: _read_and_remove(stage, taken) == COUNT, "work goes on as room is made", 60)

        assert sorted(taken.values()) == sorted(payloads)
        eventually(lambda: len(stage.jobs(State.COMPLETED)) == COUNT, "every job completes")
        assert {(job.failures, job.crashes, job.losses) for job in stage.jobs()} == {(0, 0, 0)}
        stage.close(taken)
    finally:
        stage.abandon()


def _ran(stage: Stage, name: bytes) -> list[Job]:
    """The job of this name, once an attempt of it has ended and the job waits again."""
    return [job for job in stage.jobs(State.PENDING) if job.name == name and job.attempt]


def test_a_command_that_fails_because_the_disk_is_full_is_not_charged(small_disk: Path) -> None:
    stage = Stage(small_disk, GREEDY)
    try:
        filler = small_disk / "filler"
        filler.write_bytes(bytes(18_000_000))
        for name in ("greedy", "tidy/tidy"):
            stage.drop(name)
        assert stage.start("ingest", None, "--drain").wait(20) == 0
        stage.consumer()

        (greedy,) = eventually(lambda: _ran(stage, b"greedy"), "the disk is full")
        (tidy,) = eventually(lambda: _ran(stage, b"tidy"), "the disk was full, and its program has made room")

        assert (greedy.failures, greedy.crashes, greedy.losses) == (0, 0, 0)
        assert str(greedy.error).startswith("no room on disk: sh failed with exit code 1")
        assert (tidy.failures, tidy.crashes, tidy.losses) == (0, 0, 1)
        assert str(tidy.error).endswith("it said: No space left on device")
        filler.unlink()
        eventually(lambda: [job for job in stage.jobs(State.COMPLETED) if job.name == b"greedy"], "it completes")
        stage.close()
    finally:
        stage.abandon()


def test_a_command_that_fails_because_there_are_no_inodes_is_not_charged(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,nr_inodes=600", small_disk], check=True)
    stage = Stage(small_disk, GREEDY)
    try:
        stage.drop("many/many")
        assert stage.start("ingest", None, "--drain").wait(20) == 0
        stage.consumer()

        (job,) = eventually(lambda: _ran(stage, b"many"), "there are no inodes")

        assert (job.failures, job.crashes, job.losses) == (0, 0, 0)
        assert str(job.error).startswith("no room on disk: ")
        stage.close()
    finally:
        stage.abandon()
