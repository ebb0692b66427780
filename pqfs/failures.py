"""What it means that an attempt did not succeed: the handler's fault, a limit that it met, or the environment's.

Judged here and nowhere else, in this order: what the handler itself said; no room on the spool's volume; a limit of
the queue; an error of the environment; what the program complained of last. A full disk that can be seen costs
nothing, however often, and neither does a handler that is not there to be run: whoever removed it by an upgrade finds
his jobs waiting. A full disk that only the program's words tell of (it removed what it had written, or another volume
was full) counts as a loss, so that it does not go round for ever.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Any

from pqfs.errors import Misconfigured, Permanent, PqfsError, RetryLater
from pqfs.handlers.limits import Limits
from pqfs.model import Kind

# The environment's fault and bound to last: work pauses, no budget is touched however often it happens.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
# The environment's fault, or this one file's: counted as a loss, so that it does not go round for ever.
_FAULTS = frozenset({errno.EIO, errno.ESTALE, errno.EINTR})
_FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))
_PAUSE = 5.0  # seconds before a job is tried again after either
_LONG_PAUSE = 60.0  # after a full disk that nobody but the program has seen
_LAST_WORDS = 2000  # characters: how much of what was printed last is believed
_LINE = 200  # characters: how much of its last line stands in the error


def judge(error: BaseException, limits: Limits, said: str, lack: str | None) -> dict[str, Any]:
    """What is told to the consumer of an attempt that ended with `error`: `kind`, `error`, `delay`, `exit_code`.

    `unfit`: no job of this queue can be run by this consumer, for the reason in `error`.

    Args:
        error: what the handler raised, or what it left was refused with.
        limits: those of the queue.
        said: what the handler and its programs printed.
        lack: what the machine has no more of just now (room on the spool's volume, file descriptors).
    """
    answer = _explain(error, limits)
    if lack and answer["kind"] != Kind.RETRY_LATER:
        return {**answer, "kind": Kind.RELEASED, "delay": _PAUSE, "error": f"{lack}: {answer['error']}"}
    worded = answer | {"error": answer["error"] + _last_line(error, limits, said)}
    if answer["kind"] != Kind.FAILED or limits.named_by_error(error):
        return worded
    return worded | _complaint(str(answer["error"]), limits, said[-_LAST_WORDS:])


def _last_line(error: BaseException, limits: Limits, said: str) -> str:
    """What a program printed last: its exit code alone says little, and errors of one code may be of many kinds.

    Nothing of a program that was ended by a signal or a limit, and none of our own notes, which stand in brackets.
    """
    is_told = any(limits.sentence(met) in str(error) for met in limits.given())
    if is_told or (getattr(error, "exit_status", None) or 0) <= 0:
        return ""
    words = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("[")]
    return f"; it said last: {words[-1][:_LINE]}" if words else ""


def _complaint(error: str, limits: Limits, said: str) -> dict[str, Any]:
    """What a program's last words add to its exit code."""
    if full := next((words for words in _FULL if words in said), None):
        return {"kind": Kind.ENVIRONMENT, "delay": _LONG_PAUSE, "error": f"no room on disk: {error}; it said: {full}"}
    met = limits.named_in(said)
    if met is None or limits.sentence(met) in error:
        return {}
    return {"error": f"{error}; as it says itself, it met {limits.sentence(met)}"}


def _explain(error: BaseException, limits: Limits) -> dict[str, Any]:
    """What an exception that ended an attempt means by itself."""
    if isinstance(error, RetryLater):
        return {
            "kind": Kind.RETRY_LATER, "error": error.message, "delay": error.delay, "exit_code": error.exit_status,
        }  # fmt: skip
    if isinstance(error, Permanent):
        return {"kind": Kind.PERMANENT, "error": error.message, "exit_code": error.exit_status}
    if isinstance(error, Misconfigured):
        return {"kind": Kind.RELEASED, "error": error.message, "unfit": True}
    if isinstance(error, PqfsError):
        return {"kind": Kind.FAILED, "error": error.message, "exit_code": getattr(error, "exit_status", None)}
    if met := limits.named_by_error(error):
        return {"kind": Kind.FAILED, "error": f"the handler met {limits.sentence(met)}"}
    if isinstance(error, OSError) and (error.errno in _NO_ROOM | _FAULTS or _is_unnamed_refusal(error)):
        return of_machine(error)
    if isinstance(error, SystemExit):
        return {"kind": Kind.FAILED, "error": f"the handler called sys.exit({error.code!r})"}
    return {"kind": Kind.FAILED, "error": f"{type(error).__name__}: {error}"[:2000]}


def of_machine(error: OSError) -> dict[str, Any]:
    """What a failure of the machine means for an attempt: no failure of the job's, and soon another try."""
    kind = Kind.RELEASED if error.errno in _NO_ROOM else Kind.ENVIRONMENT
    return {"kind": kind, "error": f"the environment failed: {error.strerror}", "delay": _PAUSE}


def _is_unnamed_refusal(error: OSError) -> bool:
    """Access refused to what was open already, or to what the spool gave: no permission that a handler lacks."""
    about = "" if error.filename is None else str(error.filename)
    return error.errno in (errno.EACCES, errno.EPERM) and (not about or "claimed/" in about or "work/" in about)


def show(error: BaseException) -> None:
    """Print where an unexpected exception came from: it is kept with the attempt."""
    if not isinstance(error, PqfsError | SystemExit):
        print("".join(traceback.format_exception(error)), file=sys.stderr, flush=True)  # noqa: T201 -- the attempt's log
