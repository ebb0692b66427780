"""A real ingester before real writers: nothing is taken early, nothing is missed, nothing is mangled."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pqfs.model import State
from pqfs.places import PROBE
from tests.process.conftest import MakeStage
from tests.process.stage import Stage, eventually

QUICK = "[ingest]\nsweep_every = 0.5\nsettle = 0.3\nempty_directory_after = 0.2\n[consume]\npoll_every = 0.5\n"


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    stage = make_stage(QUICK)
    stage.start("ingest", "ingester")
    stage.consumer()
    return stage


def _names(stage: Stage) -> list[bytes]:
    return [job.name for job in reversed(stage.jobs())]


def _completed(stage: Stage, count: int) -> None:
    """Published as well: the commit comes before the rename, the confirmation after it."""
    eventually(lambda: sum(job.confirmed for job in stage.jobs(State.COMPLETED)) >= count, f"{count} jobs complete")


def _ingested(stage: Stage, count: int) -> None:
    eventually(lambda: len(stage.jobs()) > count, f"more than {count} files are ingested")


def _body(output: bytes) -> bytes:
    return output.partition(b"\n")[2]


def test_what_lay_there_before_the_start_is_taken_in_order_of_mtime(make_stage: MakeStage) -> None:
    stage = make_stage(QUICK)
    for age, name in ((300, "c"), (100, "a"), (200, "b")):
        path = stage.spool / "inbox" / name
        path.write_bytes(b"x")
        os.utime(path, (1e9 - age, 1e9 - age))

    stage.start("ingest", "ingester")

    eventually(lambda: len(stage.jobs()) == 3, "all three are ingested")
    assert _names(stage) == [b"c", b"b", b"a"]


def test_a_file_is_not_taken_while_a_writer_holds_it_open(stage: Stage) -> None:
    with (stage.spool / "inbox" / "slow.bin").open("wb") as file:
        for number in range(3):
            file.write(b"part")
            file.flush()
            stage.drop(f"other{number}")
            _completed(stage, number + 1)  # whole files pass it by
        assert b"slow.bin" not in _names(stage)

    _completed(stage, 4)
    assert b"partpartpart" in [_body(output) for output in stage.outputs()]


def test_a_file_is_not_taken_while_it_is_mapped_writable(stage: Stage) -> None:
    path = stage.spool / "inbox" / "mapped.bin"
    (stage.root / "scratch").write_bytes(b"0" * 4096)
    descriptor = os.open(stage.root / "scratch", os.O_RDWR)
    mapped = mmap.mmap(descriptor, 4096)
    os.close(descriptor)
    (stage.root / "scratch").rename(path)

    stage.drop("other")
    _completed(stage, 1)
    assert path.exists()
    mapped[:4] = b"done"
    mapped.close()

    _completed(stage, 2)
    assert b"done" + b"0" * 4092 in [_body(output) for output in stage.outputs()]


def test_a_file_moved_in_from_another_file_system_is_taken_whole(stage: Stage) -> None:
    elsewhere = Path("/dev/shm")
    if not os.access(elsewhere, os.W_OK) or elsewhere.stat().st_dev == stage.spool.stat().st_dev:
        pytest.skip("/dev/shm is not another writable file system here")
    source = elsewhere / f"pqfs-test-{os.getpid()}"
    source.write_bytes(b"m" * 5_000_000)

    subprocess.run(["mv", source, stage.spool / "inbox" / "moved.bin"], check=True)

    _completed(stage, 1)
    assert _body(stage.outputs()[0]) == b"m" * 5_000_000


def test_rsync_delivers_each_file_once(stage: Stage) -> None:
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    source = stage.root / "source"
    source.mkdir()
    for number in range(50):
        (source / f"file{number}.dat").write_bytes(os.urandom(1000 + number))

    subprocess.run(["rsync", "-a", f"{source}/", f"{stage.spool}/inbox/"], check=True)

    _completed(stage, 50)
    assert sorted(map(_body, stage.outputs())) == sorted(path.read_bytes() for path in source.iterdir())


NAMES = [
    b"with space.txt",
    b"new\nline.txt",
    b"-rf",
    b"invalid-\xe9\xff.txt",
    b"percent%41.txt",
    b"escape\x1b[31m.txt",
    "rtl\u202etxt.exe".encode(),
    "größe-文件.pdf".encode(),
    b"l" * 251 + b".txt",
]


def test_names_of_any_bytes_come_through_and_are_kept_whole(stage: Stage) -> None:
    inbox = os.fsencode(stage.spool / "inbox")
    for number, name in enumerate(NAMES):
        with open(os.path.join(inbox, name), "wb") as file:
            file.write(b"%d" % number)

    _completed(stage, len(NAMES))

    assert sorted(_names(stage)) == sorted(NAMES)
    assert sorted(map(_body, stage.outputs())) == [b"%d" % number for number in range(len(NAMES))]


def test_the_same_name_dropped_twice_in_a_row_is_two_jobs(stage: Stage) -> None:
    stage.drop("same.txt", b"first")
    eventually(lambda: not (stage.spool / "inbox" / "same.txt").exists(), "the first is taken")
    stage.drop("same.txt", b"second")

    _completed(stage, 2)
    assert sorted(map(_body, stage.outputs())) == [b"first", b"second"]


def test_a_copied_folder_becomes_one_job_a_file_and_the_empty_folder_goes(stage: Stage) -> None:
    source = stage.root / "folder"
    (source / "inner").mkdir(parents=True)
    (source / "a.txt").write_bytes(b"a")
    (source / "inner" / "b.txt").write_bytes(b"b")

    subprocess.run(["cp", "-r", source, stage.spool / "inbox"], check=True)

    _completed(stage, 2)
    assert sorted(_names(stage)) == [b"folder/a.txt", b"folder/inner/b.txt"]
    eventually(lambda: not (stage.spool / "inbox" / "folder").exists(), "the empty folder is removed")


def test_a_directory_with_a_queues_name_feeds_that_queue(make_stage: MakeStage) -> None:
    stage = make_stage(f"{QUICK}[queues.scans]\n")
    stage.start("ingest", "ingester")
    stage.consumer()

    stage.drop("scans/page.pdf")

    _completed(stage, 1)
    assert [(job.queue, job.name) for job in stage.jobs()] == [("scans", b"page.pdf")]
    assert len(list((stage.outbox / "scans").iterdir())) == 1


def test_an_inbox_that_was_replaced_is_watched_again(stage: Stage) -> None:
    stage.drop("before")
    _completed(stage, 1)

    shutil.rmtree(stage.spool / "inbox")
    (stage.spool / "inbox").mkdir()
    stage.drop("after")

    _completed(stage, 2)


def test_what_can_not_be_a_job_is_rejected_with_a_reason(stage: Stage) -> None:
    inbox = stage.spool / "inbox"
    (inbox / "link").symlink_to("/etc/passwd")
    os.mkfifo(inbox / "pipe")

    eventually(lambda: len(list((stage.spool / "rejected").iterdir())) == 4, "both are rejected")

    reasons = {
        record["name"]: record["reason"]
        for path in (stage.spool / "rejected").glob("*.reason.json")
        if (record := json.loads(path.read_text()))
    }
    assert reasons == {"link": "it is a symbolic link", "pipe": "it is a named pipe"}
    assert Path("/etc/passwd").exists()


def test_a_sidecar_decides_priority_and_metadata_and_an_invalid_one_rejects_both(stage: Stage) -> None:
    inbox = stage.spool / "inbox"
    (inbox / "good.txt.job.json").write_text('{"priority": 7, "metadata": {"from": "lab"}}')
    (inbox / "bad.txt.job.json").write_text('{"priorty": 7}')
    stage.drop("bad.txt")
    stage.drop("good.txt")

    _completed(stage, 1)
    eventually(lambda: len(list((stage.spool / "rejected").iterdir())) == 4, "payload and sidecar are rejected")

    job = stage.jobs()[0]
    assert (job.name, job.priority, (job.options or {})["metadata"]) == (b"good.txt", 7, {"from": "lab"})
    eventually(lambda: set(os.listdir(inbox)) <= {PROBE}, "the sidecar that counted is gone")


def test_files_that_say_not_yet_are_left_alone(stage: Stage) -> None:
    for name in (".hidden", "video.mp4.part", "download.crdownload", "~$office.docx", "backup~", "x.tmp"):
        stage.drop(name)
    stage.drop("whole.txt")

    _completed(stage, 1)
    assert len(set(os.listdir(stage.spool / "inbox")) - {PROBE}) == 6


def test_a_killed_ingester_loses_nothing_that_it_had_begun(stage: Stage) -> None:
    stage.start("janitor")
    writer = "import sys; [open(f'{sys.argv[1]}/f{n}', 'wb').write(b'%d' % n) for n in range(2000)]"
    producer = subprocess.Popen([sys.executable, "-c", writer, str(stage.spool / "inbox")])

    for number in range(4):
        _ingested(stage, number * 200)
        stage._processes[0 if number == 0 else -1].kill()
        stage.start("ingest", "ingester")
    producer.wait()

    _completed(stage, 2000)
    assert sorted(map(_body, stage.outputs())) == sorted(b"%d" % number for number in range(2000))
