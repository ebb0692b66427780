"""What a failed attempt costs: a fault of the machine is no failure of the job, whatever the handler makes of it."""

from __future__ import annotations

import errno
import os

import pytest

from pqfs import failures
from pqfs.errors import HandlerVerdict, Misconfigured, Permanent, RetryLater
from pqfs.handlers.command import CommandFailed
from pqfs.handlers.limits import Limits
from pqfs.model import Kind


def _said(verdict: HandlerVerdict, code: int) -> HandlerVerdict:
    verdict.exit_status = code
    return verdict


_ENDS_OF_A_PROGRAM = (
    CommandFailed("ocr failed with exit code 3", 3), _said(Permanent("ocr says no"), 65),
    _said(RetryLater("ocr asks for time"), 75),
)  # fmt: skip


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


def test_a_handler_that_is_not_there_costs_its_jobs_nothing() -> None:
    answer = failures.judge(Misconfigured("There is no such program."), Limits(), "", None)

    assert answer == {"kind": Kind.RELEASED, "error": "There is no such program.", "unfit": True}


def test_a_handler_that_fails_while_the_machine_has_no_more_is_not_charged() -> None:
    answer = failures.judge(ValueError("too many open files, perhaps"), Limits(), "", "the machine is at its end")

    assert answer["kind"] == Kind.RELEASED
    assert answer["error"].startswith("the machine is at its end: ValueError")


def test_the_error_of_a_program_ends_with_what_it_said_last() -> None:
    said = "reading\n\nthe scan has no pages \n\n"
    judged = [failures.judge(error, Limits(), said, None) for error in _ENDS_OF_A_PROGRAM]

    assert [each["error"] for each in judged] == [
        "ocr failed with exit code 3; it said last: the scan has no pages",
        "ocr says no; it said last: the scan has no pages",
        "ocr asks for time; it said last: the scan has no pages",
    ]
    assert [each["exit_code"] for each in judged] == [3, 65, 75]


def test_what_a_function_raised_speaks_for_itself() -> None:
    assert failures.judge(Permanent("no pages"), Limits(), "debug output\n", None)["error"] == "no pages"
    assert failures.judge(ValueError("no pages"), Limits(), "a traceback\n", None)["error"] == "ValueError: no pages"
