"""The seam of file operations: each does what its system call does, relative to a directory, nothing more."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs.files import Files, open_directory


@pytest.fixture
def here(tmp_path: Path) -> Iterator[int]:
    """A descriptor of tmp_path."""
    descriptor = open_directory(os.fsencode(tmp_path))
    yield descriptor
    os.close(descriptor)


def test_a_file_is_written_whole_and_never_over_another(tmp_path: Path, here: int) -> None:
    Files().write(here, b"a", b"x" * 3_000_000)

    assert (tmp_path / "a").stat().st_size == 3_000_000
    with pytest.raises(FileExistsError):
        Files().write(here, b"a", b"")
    assert (tmp_path / "a").stat().st_size == 3_000_000


def test_a_planted_link_is_not_written_through(tmp_path: Path, here: int) -> None:
    (tmp_path / "victim").write_bytes(b"v")
    (tmp_path / "a").symlink_to("victim")

    with pytest.raises(FileExistsError):
        Files().write(here, b"a", b"evil")

    assert (tmp_path / "victim").read_bytes() == b"v"


def test_only_replace_renames_over_what_is_there(tmp_path: Path, here: int) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)

    with pytest.raises(FileExistsError):
        Files().rename(here, b"a", here, b"b")
    Files().replace(here, b"a", b"b")

    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_text() == "a"


def test_directories_are_made_private_and_removed_only_when_empty(tmp_path: Path, here: int) -> None:
    Files().mkdir(here, b"d")
    Files().write(here, b"d/f", b"")

    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) & 0o007 == 0
    with pytest.raises(OSError):
        Files().rmdir(here, b"d")
    with pytest.raises(OSError):
        Files().unlink(here, b"d")
    Files().unlink(here, b"d/f")
    Files().rmdir(here, b"d")
    assert list(tmp_path.iterdir()) == []


def test_files_and_directories_can_be_synced_links_and_pipes_do_not_block(tmp_path: Path, here: int) -> None:
    (tmp_path / "f").write_bytes(b"")
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("f")

    Files().fsync(here, b"f")
    Files().fsync(here, b"d")
    Files().syncfs(here)

    with pytest.raises(OSError):
        Files().fsync(here, b"l")


def test_a_directory_is_opened_without_following_a_link_at_its_end(tmp_path: Path, here: int) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("d")

    os.close(open_directory(b"d", here))
    with pytest.raises(OSError):
        open_directory(b"l", here)


def test_no_descriptor_is_inherited(tmp_path: Path, here: int) -> None:
    (tmp_path / "d").mkdir()
    inner = open_directory(b"d", here)

    assert not os.get_inheritable(here)
    assert not os.get_inheritable(inner)
    os.close(inner)
