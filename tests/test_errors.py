"""What an error of a file operation means: one of ours in words, or a bug."""

from __future__ import annotations

import errno
import os

import pytest

from pqfs.errors import DiskFull, IndexBusy, Stale, Unavailable, explained


@pytest.mark.parametrize("name", ["EIO", "EROFS", "EACCES", "EMFILE", "EINTR", "ESTALE"])
def test_trouble_of_the_machine_names_its_cause_and_the_file(name: str) -> None:
    number = getattr(errno, name)

    found = explained(OSError(number, os.strerror(number), b"ready/\xff"))

    assert type(found) is (Stale if name == "ESTALE" else Unavailable)
    assert os.strerror(number) in found.message
    assert "ready/\\xff" in found.message


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT"])
def test_no_room_is_a_full_disk(name: str) -> None:
    number = getattr(errno, name)

    assert isinstance(explained(OSError(number, os.strerror(number), 7)), DiskFull)


def test_our_own_errors_are_what_they_are() -> None:
    error = IndexBusy("somebody writes")

    assert explained(error) is error


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "x"), OSError(errno.EBADF, "x"), ValueError("x")])
def test_what_no_machine_says_is_a_bug(error: Exception) -> None:
    assert explained(error) is None
