"""What a failed attempt costs: a fault of the machine is no failure of the job, whatever the handler makes of it."""

from __future__ import annotations

import errno
import os

import pytest

from pqfs import failures
from pqfs.handlers.limits import Limits
from pqfs.model import Kind


def _judged(number: int, path: str | bytes | None = None, lack: str | None = None) -> Kind:
    error = OSError(number, os.strerror(number), path)
    return Kind(failures.judge(error, Limits(), "", lack)["kind"])


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EINTR])
def test_an_error_of_the_disk_is_a_loss(number: int) -> None:
    assert _judged(number) is Kind.ENVIRONMENT


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE])
def test_what_is_bound_to_last_costs_nothing(number: int) -> None:
    assert _judged(number) is Kind.RELEASED


@pytest.mark.parametrize("path", [None, b"work/me/job.1.part", "/srv/spool/claimed/job.1.x"])
def test_a_refusal_of_our_own_files_is_the_machines(path: str | bytes | None) -> None:
    assert _judged(errno.EACCES, path) is Kind.ENVIRONMENT


def test_a_permission_that_a_handler_lacks_is_its_own_failure() -> None:
    assert _judged(errno.EACCES, "/etc/shadow") is Kind.FAILED


def test_a_handler_that_fails_while_the_machine_has_no_more_is_not_charged() -> None:
    answer = failures.judge(ValueError("too many open files, perhaps"), Limits(), "", "the machine is at its end")

    assert answer["kind"] == Kind.RELEASED
    assert answer["error"].startswith("the machine is at its end: ValueError")
