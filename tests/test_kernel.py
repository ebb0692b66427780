"""What the kernel is asked for, asked for real."""

from __future__ import annotations

import errno
import mmap
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs import kernel


@pytest.fixture
def here(tmp_path: Path) -> Iterator[int]:
    """A descriptor of tmp_path."""
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(params=["renameat2", "link and unlink"])
def rename_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of renaming without overwriting."""
    if request.param != "renameat2":
        monkeypatch.setattr(kernel, "_libc", object())
    return str(request.param)


# -------------------------------------------------------------------- rename


@pytest.mark.usefixtures("rename_way")
class TestRename:
    """Rename, never over something."""

    def test_a_rename_moves_the_inode(self, tmp_path: Path, here: int) -> None:
        (tmp_path / "a").write_bytes(b"1")
        inode = (tmp_path / "a").stat().st_ino

        kernel.rename_noreplace(here, b"a", here, b"b")

        assert not (tmp_path / "a").exists()
        assert (tmp_path / "b").stat().st_ino == inode
        assert (tmp_path / "b").stat().st_nlink == 1

    def test_what_is_there_is_never_overwritten(self, tmp_path: Path, here: int) -> None:
        (tmp_path / "a").write_bytes(b"1")
        (tmp_path / "b").write_bytes(b"2")

        with pytest.raises(FileExistsError):
            kernel.rename_noreplace(here, b"a", here, b"b")

        assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"1", b"2")

    def test_two_names_of_one_file_are_not_silently_taken_for_a_rename(self, tmp_path: Path, here: int) -> None:
        """rename(2) of two names of one inode does nothing and reports success; ours must say so."""
        (tmp_path / "a").write_bytes(b"1")
        (tmp_path / "b").hardlink_to(tmp_path / "a")

        with pytest.raises(FileExistsError):
            kernel.rename_noreplace(here, b"a", here, b"b")

    def test_a_source_that_is_not_there_is_told(self, here: int) -> None:
        with pytest.raises(FileNotFoundError):
            kernel.rename_noreplace(here, b"nothing", here, b"b")

    def test_a_symbolic_link_is_moved_not_followed(self, tmp_path: Path, here: int) -> None:
        (tmp_path / "target").write_bytes(b"1")
        (tmp_path / "a").symlink_to("target")

        kernel.rename_noreplace(here, b"a", here, b"b")

        assert (tmp_path / "b").is_symlink()
        assert (tmp_path / "target").exists()

    def test_any_bytes_are_a_name(self, tmp_path: Path, here: int) -> None:
        name = b"\xff\n\x1b -" + "é".encode()
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"1")

        kernel.rename_noreplace(here, name, here, b"b")

        assert os.listdir(os.fsencode(tmp_path)) == [b"b"]


def test_of_two_renames_onto_one_name_one_wins(tmp_path: Path, here: int) -> None:
    for round_number in range(50):
        target = f"target{round_number}".encode()
        for name in ("a", "b"):
            (tmp_path / f"{name}{round_number}").write_bytes(b"")
        lost: list[bytes] = []
        start = threading.Barrier(2)

        def contend(
            source: bytes, target: bytes = target, lost: list[bytes] = lost, start: threading.Barrier = start
        ) -> None:
            start.wait()
            try:
                kernel.rename_noreplace(here, source, here, target)
            except FileExistsError:
                lost.append(source)

        threads = [threading.Thread(target=contend, args=(f"{name}{round_number}".encode(),)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(lost) == 1


# -------------------------------------------------------------------- leases


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A file and a descriptor of it for reading."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 4096)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        kernel.is_open_for_writing(descriptor)
    except OSError as error:
        pytest.skip(f"no leases on this file system: {error}")
    yield path, descriptor
    os.close(descriptor)


def test_a_file_that_nobody_writes_is_complete(file: tuple[Path, int]) -> None:
    path, descriptor = file
    with path.open("rb"):
        assert not kernel.is_open_for_writing(descriptor)


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_a_writer_is_seen_until_it_closes(file: tuple[Path, int], flags: int) -> None:
    path, descriptor = file
    writer = os.open(path, flags)

    assert kernel.is_open_for_writing(descriptor)
    os.close(writer)
    assert not kernel.is_open_for_writing(descriptor)


def test_a_writer_in_another_process_is_seen(file: tuple[Path, int]) -> None:
    path, descriptor = file
    code = "import sys; f = open(sys.argv[1], 'r+b'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()

        assert kernel.is_open_for_writing(descriptor)

        other.stdin.close()
        other.wait(timeout=20)
    assert not kernel.is_open_for_writing(descriptor)


def test_a_writable_map_is_seen_after_its_descriptor_was_closed(file: tuple[Path, int]) -> None:
    path, descriptor = file
    with path.open("r+b") as writer:
        mapped = mmap.mmap(writer.fileno(), 0)

    assert kernel.is_open_for_writing(descriptor)
    mapped.close()
    assert not kernel.is_open_for_writing(descriptor)


def test_a_map_for_reading_is_no_writer(file: tuple[Path, int]) -> None:
    path, descriptor = file
    with path.open("rb") as reader, mmap.mmap(reader.fileno(), 0, access=mmap.ACCESS_READ):
        assert not kernel.is_open_for_writing(descriptor)


def test_the_question_leaves_no_lease_behind(file: tuple[Path, int]) -> None:
    """A lease that stayed would delay the next writer, and SIGIO would kill us."""
    path, descriptor = file

    kernel.is_open_for_writing(descriptor)

    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.close(writer)


def test_an_answer_that_can_not_be_had_is_an_error_not_a_no(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError) as caught:
            kernel.is_open_for_writing(descriptor)
    finally:
        os.close(descriptor)
    assert caught.value.errno in (errno.EINVAL, errno.EACCES, errno.EISDIR)


def test_a_lease_break_kills_only_who_does_not_ignore_it() -> None:
    code = (
        "import os, signal; from pqfs import kernel; kernel.ignore_lease_breaks(); os.kill(os.getpid(), signal.SIGIO)"
    )

    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
    # An ignored signal is inherited, and another test may have had this process ignore it.
    without = code.replace("kernel.ignore_lease_breaks()", "signal.signal(signal.SIGIO, signal.SIG_DFL)")
    assert subprocess.run([sys.executable, "-c", without], timeout=30, check=False).returncode == -signal.SIGIO


# -------------------------------------------------------------------- file systems


def test_a_file_system_is_named_as_the_system_names_it(tmp_path: Path) -> None:
    asked = subprocess.run(
        ["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()

    found = kernel.file_system(os.fsencode(tmp_path))

    assert kernel.file_system(b"/proc/self") == "proc"
    aliases = {"ext2/ext3": {"ext2", "ext3", "ext4"}, "overlayfs": {"overlay"}}
    assert found in aliases.get(asked, {asked})


def test_a_path_that_does_not_exist_belongs_to_the_file_system_above_it(tmp_path: Path) -> None:
    assert kernel.file_system(os.fsencode(tmp_path / "not" / "yet")) == kernel.file_system(os.fsencode(tmp_path))


def test_syncfs_succeeds_and_tells_of_a_bad_descriptor(here: int) -> None:
    kernel.syncfs(here)

    with pytest.raises(OSError):
        kernel.syncfs(-1)


# -------------------------------------------------------------------- processes


def test_a_child_dies_with_its_parent() -> None:
    child = (
        "import os, signal, sys, time\nfrom pqfs import kernel\n"
        "kernel.die_with_parent(signal.SIGKILL)\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n"
    )
    parent = (
        f"import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "sys.stdin.read()\n"
    )  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as middle:
        assert middle.stdout is not None
        pid = int(middle.stdout.readline())
        watched = os.pidfd_open(pid)
        middle.kill()
        middle.wait(timeout=20)

        ready, _, _ = select.select([watched], [], [], 20.0)
        os.close(watched)
    assert ready == [watched]


def test_orphans_become_children_of_a_subreaper() -> None:
    code = (
        "import os, subprocess, sys\nfrom pqfs import kernel\nkernel.become_subreaper()\n"
        "subprocess.run(['sh', '-c', 'setsid sh -c \"exit 7\" &'], check=True)\n"
        "pid, status = os.wait()\nprint(os.waitstatus_to_exitcode(status))\n"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)

    assert ended.stdout == "7\n", ended.stderr
