"""What a new user tries first, on a real stack: real files, real writers, names from everywhere."""

from __future__ import annotations

import itertools
import mmap
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs.model import State
from pqfs.runner import descendants
from tests.process.stage import Stage, eventually
from tests.process.test_ingester import NAMES
from tests.process.test_storm import _pqfs

pytestmark = pytest.mark.slow


@pytest.fixture
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="pqfs-accept-") as root:
        stage = Stage(Path(root), "[ingest]\nempty_directory_after = 1\n")
        _pqfs(stage, "up", "-d", "--no-ui")
        yield stage
        _pqfs(stage, "down", check=False)


def _finish(stage: Stage, count: int, within: float = 60) -> list[bytes]:
    """Wait for this many completed jobs, stop the stack, check the world, and return the outputs' bodies."""
    eventually(lambda: len(stage.jobs(State.COMPLETED)) >= count, f"{count} jobs complete", within)
    assert "clean" in _pqfs(stage, "fsck") or not _pqfs(stage, "fsck").strip()
    _pqfs(stage, "down")
    bodies = [output.partition(b"\n")[2] for output in stage.outputs()]
    stage.close()
    return bodies


def _standard_library(count: int) -> list[Path]:
    """Real files of mixed size: the standard library's sources and binaries."""
    library = Path(sysconfig.get_path("stdlib"))
    found = (path for path in library.rglob("*") if path.is_file() and not path.is_symlink() and path.name[0] != ".")
    return list(itertools.islice(found, count))


def test_a_thousand_real_files_come_out_once_each(stage: Stage) -> None:
    files = _standard_library(1000)
    source = stage.root / "source"
    source.mkdir()
    for number, path in enumerate(files):
        shutil.copy(path, source / f"{number:04d}-{path.name}")

    subprocess.run(["cp", "-r", f"{source}/.", stage.spool / "inbox"], check=True)

    assert Counter(_finish(stage, 1000)) == Counter(path.read_bytes() for path in source.iterdir())


def test_five_thousand_empty_files_come_out_once_each(stage: Stage) -> None:
    for number in range(5000):
        (stage.spool / "inbox" / f"empty{number}").touch()

    assert _finish(stage, 5000) == [b""] * 5000


def test_writers_that_take_their_time_are_waited_for(stage: Stage) -> None:
    script = (
        "import sys, time\n"
        "with open(sys.argv[1], 'wb') as file:\n"
        "    for _ in range(3):\n"
        "        file.write(b'x' * 1000); file.flush(); time.sleep(7)\n"
    )
    slow = subprocess.Popen([sys.executable, "-c", script, stage.spool / "inbox" / "slow.bin"])
    path = stage.spool / "inbox" / "mapped.bin"
    with path.open("w+b") as file:
        file.truncate(8192)
        mapped = mmap.mmap(file.fileno(), 8192)

    while slow.poll() is None:
        assert not stage.outputs(), "a half-written file was taken"
        time.sleep(0.1)
    mapped[:3] = b"end"
    mapped.close()

    assert sorted(_finish(stage, 2)) == sorted([b"x" * 3000, b"end" + bytes(8189)])


def test_moves_rsync_folders_names_and_repeats(stage: Stage) -> None:
    inbox = stage.spool / "inbox"
    expected = Counter[bytes]()
    for number, name in enumerate(NAMES):
        with open(os.path.join(os.fsencode(inbox), name), "wb") as file:
            file.write(b"name %d" % number)
        expected[b"name %d" % number] += 1
    elsewhere = Path("/dev/shm") / f"pqfs-accept-{os.getpid()}"
    elsewhere.write_bytes(b"elsewhere" * 100_000)
    subprocess.run(["mv", elsewhere, inbox / "moved"], check=True)
    (stage.root / "here").write_bytes(b"here")
    subprocess.run(["mv", stage.root / "here", inbox / "here"], check=True)
    expected.update([b"elsewhere" * 100_000, b"here"])
    folder = stage.root / "folder"
    folder.mkdir()
    for number in range(100):
        (folder / f"r{number}").write_bytes(b"r%d" % number)
    subprocess.run(["rsync", "-a", f"{folder}/", f"{inbox}/"], check=True)
    subprocess.run(["cp", "-r", folder, inbox], check=True)
    expected.update([b"r%d" % number for number in range(100)] * 2)
    for number in range(20):
        (stage.root / "drop").write_bytes(b"again %d" % number)
        eventually(lambda: not (inbox / "again").exists(), "the last of this name is taken")
        (stage.root / "drop").rename(inbox / "again")
        expected[b"again %d" % number] += 1

    assert Counter(_finish(stage, expected.total())) == expected


def _peak_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def test_a_file_of_two_gibibytes_leaves_memory_flat(stage: Stage) -> None:
    if shutil.disk_usage(stage.root).free < 8 * 2**30:
        pytest.skip("not enough room for a 2 GiB file and its output")
    path = stage.spool / "inbox" / "big.bin"
    with path.open("wb") as file:
        for number in range(2048):
            file.write(bytes([number % 251]) * 2**20)

    eventually(lambda: stage.jobs(State.COMPLETED), "the big job completes", 200)

    supervisord = int((stage.spool / "run" / "supervisord.pid").read_text())
    assert max(map(_peak_mb, descendants(supervisord))) < 100
    output = next(stage.outbox.iterdir())
    kept = next((stage.spool / "done").glob("*/*"))
    compare = f"tail -n +2 '{output}' | cmp - '{kept}'"
    assert subprocess.run(["sh", "-c", compare], check=False).returncode == 0
    _pqfs(stage, "down")
    stage.close()
