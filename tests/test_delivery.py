"""The producer kit: whole or not at all, never over another file; from Python, the command line and a shell."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pqfs
from pqfs import kernel
from pqfs.clock import SystemClock
from pqfs.delivery import deliver
from pqfs.errors import Refused, Rejected, TimedOut
from pqfs.inbox import Inbox
from pqfs.ingester import Ingester
from pqfs.jobqueue import JobQueue
from pqfs.model import Arrival
from pqfs.naming import JobIds
from pqfs.spool import Spool
from tests.process.stage import Stage
from tests.shell import Shell
from tests.test_shapes import SHAPES
from tests.world import EPOCH, SettableClock, eventually, invariants, new_id

README = (Path(__file__).parent.parent / "README.md").read_text()
SHA256 = hashlib.sha256(b"payload").hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Something to drop."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"payload")
    return path


def in_inbox(spool: Spool) -> list[str]:
    """What lies there, hidden names included."""
    return spool.entries("inbox", hidden=True)


def ingest(jobqueue: JobQueue, clock: SettableClock) -> None:
    """One sweep."""
    Ingester(jobqueue, Inbox(jobqueue.spool.root, jobqueue.settings), "ingester.1.0123abcd", clock).sweep()


# -------------------------------------------------------------------- from Python


def test_a_dropped_file_is_there_whole_with_what_was_asked_for_it(spool: Spool, file: Path) -> None:
    found = pqfs.drop(file, spool.root, key="k-1", checksum=True, asked={"priority": 5})

    assert (found.path, found.size, found.sha256) == (spool.path("inbox/a.txt"), 7, SHA256)
    assert found.path.read_bytes() == b"payload"
    wished = json.loads(spool.path("inbox/a.txt.job.json").read_bytes())
    assert wished == {"priority": 5, "key": "k-1", "sha256": SHA256}
    assert in_inbox(spool) == ["a.txt", "a.txt.job.json"]


def test_nothing_lies_beside_a_file_for_which_nothing_is_asked(spool: Spool, file: Path) -> None:
    pqfs.drop(file, spool.root, name="b.txt")

    assert in_inbox(spool) == ["b.txt"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a.tmp", "~$a.docx", "a.job.json", "a\0b"])
def test_a_name_that_would_never_be_taken_is_refused(spool: Spool, name: str) -> None:
    with pytest.raises(Refused):
        deliver(spool.path("inbox"), name.encode(), io.BytesIO(b"payload"), {"priority": 1})

    assert in_inbox(spool) == []


def test_a_queue_without_an_inbox_is_told(spool: Spool, file: Path) -> None:
    with pytest.raises(Refused, match="no inbox"):
        pqfs.drop(file, spool.root, queue="mail")


@pytest.mark.parametrize("taken", ["a.txt", "a.txt.job.json"])
def test_a_name_that_another_took_meanwhile_is_left_to_it(spool: Spool, taken: str) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            spool.path(f"inbox/{taken}").write_bytes(b"another's")
            return super().read(size)

    with pytest.raises(Refused, match="still waits"):
        deliver(spool.path("inbox"), b"a.txt", Slow(b"payload"), {"priority": 1})

    assert in_inbox(spool) == [taken]
    assert spool.path(f"inbox/{taken}").read_bytes() == b"another's"


@pytest.mark.parametrize(("linked", "error"), [(False, errno.ENOENT), (True, errno.EEXIST), (True, errno.ENOENT)])
def test_a_delivery_that_happened_and_was_denied_is_no_failure(
    spool: Spool, file: Path, monkeypatch: pytest.MonkeyPatch, linked: bool, error: int
) -> None:
    """Whoever drops onto a share would else drop the same file again, and have two jobs."""

    def rename(source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        os.link(source, target, src_dir_fd=source_dir, dst_dir_fd=target_dir)
        if not linked:
            os.unlink(source, dir_fd=source_dir)
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(kernel, "rename_noreplace", rename)

    dropped = pqfs.drop(file, spool.root, checksum=True)

    assert in_inbox(spool) == [file.name, f"{file.name}.job.json"]
    assert list(spool.path("inbox").glob(".*")) == []
    assert dropped.path.stat().st_nlink == 1


def test_who_may_not_list_the_inbox_has_the_file_made_durable_all_the_same(
    spool: Spool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inbox that is shared has the mode 3730: its producers can not open it to sync it."""
    synced = list[int]()
    opened = os.open

    def closed(path: object, flags: int, *more: int, **others: int | None) -> int:
        if path == spool.path("inbox") and not flags & os.O_PATH:
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *more, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", closed)
    monkeypatch.setattr(kernel, "syncfs", synced.append)

    pqfs.drop(file, spool.root)

    assert len(synced) == 1
    assert spool.path("inbox/a.txt").read_bytes() == b"payload"


# -------------------------------------------------------------------- the receipt


def write_receipt(path: Path, job: str, state: str) -> None:
    """What a courier writes."""
    path.write_text(json.dumps({"job": job, "state": state, "output": "out" if state == "completed" else None}))


def test_a_producer_reads_its_receipt_and_not_that_of_an_earlier_file_of_its_name(spool: Spool, file: Path) -> None:
    before = JobIds().next(SystemClock().now() - 1.0)
    write_receipt(spool.path("receipts/a.txt.json"), before, "completed")
    found = pqfs.drop(file, spool.root)

    assert found.answer() is None
    with pytest.raises(TimedOut, match="without a receipt"):
        found.wait(0.0)
    mine = JobIds().next(SystemClock().now())
    write_receipt(found.receipt, mine, "accepted")
    with pytest.raises(TimedOut, match="is accepted"):
        found.wait(0.0)
    write_receipt(found.receipt, mine, "completed")
    assert found.wait(0.0)["job"] == mine


def test_a_named_queue_answers_in_a_folder_of_its_own(spool: Spool, file: Path) -> None:
    spool.path("inbox/mail").mkdir()

    assert pqfs.drop(file, spool.root, queue="mail").receipt == spool.path("receipts/mail/a.txt.json")


# -------------------------------------------------------------------- what ingestion makes of the checksum


def test_a_file_that_is_what_its_checksum_says_is_a_job(jobqueue: JobQueue, clock: SettableClock, file: Path) -> None:
    pqfs.drop(file, jobqueue.spool.root, checksum=True)

    ingest(jobqueue, clock)

    assert [job.name for job in jobqueue.index.jobs_after("", 9)] == [b"a.txt"]
    assert in_inbox(jobqueue.spool) == []
    invariants(jobqueue.spool, jobqueue.index, sent={b"a.txt": b"payload"})


def test_a_file_that_is_another_than_its_checksum_says_is_refused_and_its_successor_is_not(
    jobqueue: JobQueue, clock: SettableClock, file: Path
) -> None:
    spool = jobqueue.spool
    pqfs.drop(file, spool.root, checksum=True).path.write_bytes(b"pay")

    ingest(jobqueue, clock)

    (reason,) = [name for name in spool.entries("rejected") if name.endswith(".reason.json")]
    said = json.loads(spool.path(f"rejected/{reason}").read_bytes())
    assert f"its sidecar says {SHA256}" in said["reason"]
    assert jobqueue.index.jobs_after("", 9) == []
    assert (in_inbox(spool), spool.entries("meta")) == ([], [])
    pqfs.drop(file, spool.root, checksum=True)
    ingest(jobqueue, clock)
    assert [job.name for job in jobqueue.index.jobs_after("", 9)] == [b"a.txt"]
    invariants(spool, jobqueue.index)


def test_a_file_that_is_adopted_is_held_against_its_checksum_too(jobqueue: JobQueue, clock: SettableClock) -> None:
    spool, job = jobqueue.spool, new_id()
    spool.make_directory("ready/ingester.1.0123abcd")
    spool.path(f"ready/ingester.1.0123abcd/{job}.default.a.txt").write_bytes(b"pay")
    spool.write_meta(job, {"options": {"sha256": SHA256}})

    arrival = Arrival(job, "default", b"a.txt", 3, options={"sha256": SHA256})
    with pytest.raises(Rejected, match="SHA-256"):
        jobqueue.ask_again("ingester.1.0123abcd", arrival, EPOCH)


# -------------------------------------------------------------------- from the command line and a shell


def test_the_command_prints_where_the_files_are(shell: Shell, file: Path) -> None:
    other = file.with_name("b.txt")
    other.write_bytes(b"")

    assert shell("drop", file, other) == 0

    assert shell.out.splitlines() == [str(shell.spool / "inbox" / name) for name in ("a.txt", "b.txt")]
    assert shell("drop", file) == 1
    assert "still waits" in shell.err
    assert shell("drop", file, other, "--key", "k") == 2


@pytest.mark.slow
def test_it_waits_for_the_receipts_and_leaves_with_what_they_say(shell: Shell, file: Path) -> None:
    (shell.root / "pqfs.toml").write_text("[defaults]\nreceipts = true\n")
    assert shell("drop", file, "--wait", "--timeout", "0s") == 3
    assert "without a receipt" in shell.err
    (shell.spool / "inbox" / "a.txt").unlink()
    dropping = subprocess.Popen(
        [sys.executable, "-m", "pqfs", "drop", str(file), "--wait", "--timeout", "60s", "--json"], cwd=shell.root,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    eventually((shell.spool / "inbox" / "a.txt").exists, "it was dropped")
    for command in ("ingest", "consume", "courier"):
        assert shell.process(command, "--drain").returncode == 0

    out, err = dropping.communicate(timeout=60)
    assert dropping.returncode == 0, err
    (found,) = json.loads(out)["items"]
    assert (found["receipt"]["state"], found["file"]) == ("completed", str(file))
    assert b"a.txt completed: " in err


def test_its_json_has_what_the_readme_says(shell: Shell, file: Path) -> None:
    (found,) = shell.items("drop", file, "--checksum")

    assert found.keys() == SHAPES["pqfs.drop/1"]
    assert (found["path"], found["size"], found["sha256"]) == (str(shell.spool / "inbox" / "a.txt"), 7, SHA256)


def test_the_kit_imports_nothing_that_is_heavy(tmp_path: Path, spool: Spool, file: Path) -> None:
    code = f"import pqfs, sys; pqfs.drop({str(file)!r}, {str(spool.root)!r}, checksum=True); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert {"apsw", "pydantic", "typer", "watchdog", "secrets", "tempfile"} & set(done.stdout.split()) == set()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The README's shell version, as somebody would copy it."""
    (block,) = re.findall(r"^```shell\n(#!/bin/sh\n.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(block.splitlines()) <= 12
    path = tmp_path / "drop.sh"
    path.write_text(block)
    return path


def drop_by(script: Path, *arguments: str) -> int:
    """Run it in a folder with a spool."""
    return subprocess.run(["sh", str(script), *arguments], cwd=script.parent, timeout=120, check=False).returncode


def test_twelve_lines_of_shell_drop_a_file_whole_and_over_no_other(spool: Spool, script: Path, file: Path) -> None:
    (spool.path("inbox") / "mail").mkdir()

    assert drop_by(script, str(file)) == 0
    assert drop_by(script, str(file), "mail") == 0
    file.write_bytes(b"another")
    assert drop_by(script, str(file)) != 0
    file.rename(file.with_name("mail"))
    assert drop_by(script, "mail") != 0, "the name of a queue's folder"

    assert in_inbox(spool) == ["a.txt", "mail"]
    assert spool.entries("inbox/mail", hidden=True) == ["a.txt"]
    assert spool.path("inbox/a.txt").read_bytes() == b"payload"


@pytest.mark.slow
def test_what_the_shell_drops_is_taken_within_a_moment(shell: Shell, script: Path, file: Path) -> None:
    """While its script runs the file has two names, and waits; it is looked at again soon."""
    ingester = subprocess.Popen([sys.executable, "-m", "pqfs", "ingest"], cwd=shell.root, stderr=subprocess.PIPE)
    try:
        eventually(lambda: list((shell.spool / "run").glob("ingester*.bell")), "the ingester listens")
        assert drop_by(script, str(file)) == 0
        eventually(lambda: shell.items("jobs", "list"), "it is a job", within=4.0)
    finally:
        ingester.terminate()
        ingester.communicate(timeout=30)


# -------------------------------------------------------------------- sets of files


def pages(folder: Path) -> list[Path]:
    """Two files that belong together."""
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(b"payload")
    return [folder / "1.png", folder / "2.png"]


def test_a_dropped_set_is_named_by_its_manifest(spool: Spool, tmp_path: Path) -> None:
    found = pqfs.drop_set("scan", pages(tmp_path), spool.root, key="k", checksum=True, asked={"priority": 5})

    assert in_inbox(spool) == ["1.png", "2.png", "scan.manifest.json"]
    members = [{"name": name, "sha256": SHA256} for name in ("1.png", "2.png")]
    assert json.loads(found.path.read_bytes()) == {"members": members, "priority": 5, "key": "k"}
    assert (found.size, found.receipt.name) == (14, "scan.tar.json")


def test_a_file_that_waits_under_a_name_of_a_set_keeps_all_of_it_out(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it comes in the last moment."""
    files = pages(tmp_path)
    rename = kernel.rename_noreplace

    def meanwhile(source_dir: int, source: bytes, target_dir: int, target: bytes) -> None:
        if target == b"2.png":
            spool.path("inbox/2.png").write_bytes(b"another's")
        rename(source_dir, source, target_dir, target)

    monkeypatch.setattr(kernel, "rename_noreplace", meanwhile)
    for _ in range(2):
        with pytest.raises(Refused, match=r"2\.png still waits"):
            pqfs.drop_set("scan", files, spool.root)
        assert in_inbox(spool) == ["2.png"]
    assert spool.path("inbox/2.png").read_bytes() == b"another's"


@pytest.mark.parametrize("names", [("a.png", "x/a.png"), ("a.tmp",), ("a.manifest.json",)])
def test_what_no_manifest_could_name_is_not_dropped(spool: Spool, tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "x").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(b"payload")

    with pytest.raises(Refused):
        pqfs.drop_set("scan", [tmp_path / name for name in names], spool.root)
    assert in_inbox(spool) == []


def test_the_command_drops_a_set(shell: Shell) -> None:
    (shell.root / "pqfs.toml").write_text('[queues.scans]\nsets = "manifest"\n')
    shell.app().close()
    files = pages(shell.root)

    (item,) = shell.items("drop", "-q", "scans", "--set", "scan", "--key", "k", *files)

    assert set(item) == SHAPES["pqfs.drop/1"]
    assert (item["file"], Path(item["path"]).name, item["size"]) == ("scan", "scan.manifest.json", 14)
    assert shell("drop", "--set", "scan", *files) == 0
    assert "takes files one by one" in shell.err


SET_CONFIG = f"""
[queues.scans]
sets = "manifest"
handler = {{ command = ["{sys.executable}", "-c", "import os, sys; print(os.environ['PQFS_SET'], sorted(os.listdir(sys.argv[1])))", "{{input}}"], stdout = "output", unpack = true, confine = "landlock" }}
[queues.tars]
sets = "manifest"
handler = {{ python = "own_handlers:names" }}
[queues.plain]
sets = "done"
"""  # noqa: E501
SET_HANDLERS = """
def names(context):
    return " ".join(sorted(each.name + " " + each.read_text() for each in context.unpack().iterdir()))
"""


@pytest.mark.slow
def test_a_set_is_processed_by_every_kind_of_handler(tmp_path: Path) -> None:
    stage = Stage(tmp_path, SET_CONFIG, SET_HANDLERS)
    (tmp_path / "x").mkdir()
    for queue in ("scans", "tars"):
        pqfs.drop_set("scan", pages(tmp_path / "x"), stage.spool, queue=queue, checksum=True)
    stage.drop("plain/scan.txt")
    stage.drop("plain/scan.done", b"")

    assert stage.start("ingest", None, "--drain").wait(20) == 0
    assert stage.start("consume", None, "--drain").wait(20) == 0

    outputs = {queue: next((stage.outbox / queue).iterdir()).read_bytes() for queue in ("scans", "tars", "plain")}
    assert outputs["scans"] == b"1 ['1.png', '2.png']\n"
    assert outputs["tars"] == b"1.png payload 2.png payload"
    assert b"scan.txt" in outputs["plain"]
    stage.close()
