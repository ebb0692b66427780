"""Every error pqfs raises, as one tree grouped by what the caller should do.

    PqfsError
    ├── Misconfigured       stop and tell the operator        exit 2
    ├── Refused             fix the call; never retried       exit 1
    │   ├── JobNotFound                                       exit 4
    │   ├── QueueNotFound                                     exit 4
    │   ├── QueueFull       it may be taken later
    │   ├── ConsumerNotFound                                  exit 4
    │   ├── IllegalTransition
    │   ├── Unconfirmed     it needs a yes and nobody is there  exit 2
    │   └── Rejected        a file that can not become a job
    ├── LeaseLost           throw the result away and go on   exit 1
    ├── Unavailable         wait, then try again              exit 1
    │   ├── IndexBusy
    │   ├── DiskFull
    │   ├── SchemaInUse     an older pqfs works on the index
    │   └── NotRunning                                        exit 5
    ├── Corrupt             put it aside and ask a person     exit 6
    │   ├── IndexGone       the index is not what it was: removed, exchanged, or another spool's
    │   │   ├── IndexDamaged  it is there, and it is broken
    │   │   └── SchemaTooNew  a newer pqfs works on it
    │   └── VolumeFault     a sync failed: the data may be gone
    └── HandlerVerdict      raised by handlers, to say how an attempt ended
        ├── RetryLater      try again after `delay` seconds; costs no failure
        └── Permanent       never try again

`str(error)` is one clear sentence for a person; `hint` says what to do about it. `explained` makes one of ours
of an error of a file operation: the one place where errno is given a meaning for the processes.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
# What a file operation says when the machine is at fault and not the program; all else that it says is a bug.
_GONE = frozenset({errno.ESTALE, errno.ENOTCONN})  # NFS; FUSE whose process has ended
_ENVIRONMENT = NO_ROOM | _GONE | {
    errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR,
    errno.EAGAIN, errno.EBUSY, errno.ENODEV, errno.ENXIO, errno.ENOLCK, errno.ETIMEDOUT,
}  # fmt: skip


class PqfsError(Exception):
    """The root: one clear sentence, a hint for the operator, an exit code for the command line."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Misconfigured(PqfsError):
    """A setting, a path or the platform makes a correct start impossible. Nothing was started."""

    exit_code = 2


class Refused(PqfsError):
    """The call can not be carried out as it stands. Nothing was changed."""


class JobNotFound(Refused):
    """No job has this id (or this beginning of an id)."""

    exit_code = 4

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}.", "List the jobs with: pqfs jobs list")
        self.job_id = job_id


class QueueNotFound(Refused):
    """There is no queue of this name."""

    exit_code = 4

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"There is no queue {name}.", f"There are: {', '.join(known)}. Make it: pqfs queue create {name}"
        )


class ScheduleNotFound(Refused):
    """There is no schedule of this name."""

    exit_code = 4

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"There is no schedule {name}.", f"There are: {', '.join(known) or 'none yet'}")


class ScheduleTaken(Refused):
    """A schedule is there already, or in the state that is asked for."""


class QueueFull(Refused):
    """The queue takes nothing more now: it is closed, or has as much as its quotas allow."""


class ConsumerNotFound(Refused):
    """No consumer of this name is there."""

    exit_code = 4

    def __init__(self, name: str, known: Iterable[str]) -> None:
        there_are = ", ".join(known) or "none"
        super().__init__(f"There is no consumer {name} here.", f"There are: {there_are}. See: pqfs consumers list")


class IllegalTransition(Refused):
    """The job's state does not allow this verb. Nothing was changed."""

    def __init__(self, job_id: str, state: str, verb: str) -> None:
        super().__init__(f"Job {job_id} is {state}: {verb} is not possible.", f"See: pqfs why {job_id}")
        self.job_id, self.state, self.verb = job_id, state, verb


class Unconfirmed(Refused):
    """An act that needs a person's yes, where nobody can be asked. Nothing was changed."""

    exit_code = 2


class TimedOut(PqfsError):
    """Somebody's patience is over; what was waited for goes on."""

    exit_code = 3


class Rejected(Refused):
    """A file that can not become a job: what is wrong with it, in words."""


class LeaseLost(PqfsError):
    """The attempt no longer holds its job: its result must be thrown away. Expected under load."""

    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"Attempt {attempt} of job {job_id} lost its lease; its result is thrown away.")
        self.job_id, self.attempt = job_id, attempt


class Unavailable(PqfsError):
    """Something needed is not there just now; the same call may succeed later."""


class Stale(Unavailable):
    """A handle of ours is of a directory that its server knows no more; whoever opens it anew has it again."""


class IndexBusy(Unavailable):
    """Another process held the index's write lock for too long."""


class DiskFull(Unavailable):
    """The file system has no room. Work pauses and goes on by itself when there is room."""


class NotRunning(Unavailable):
    """The stack is not running on this spool."""

    exit_code = 5


class SchemaInUse(Unavailable):
    """The index is an older pqfs's, which works on it: it stays as it is until that has ended."""

    def __init__(self, found: int, hosts: Iterable[str]) -> None:
        at = " and ".join(hosts)
        super().__init__(
            f"The index has schema {found}, and processes of the older pqfs that it is of work on it at {at}.",
            "Stop them there (pqfs down), then start pqfs. Files that are dropped into the inbox wait meanwhile.",
        )


class Corrupt(PqfsError):
    """What lies on disk can not be right; nothing was changed."""

    exit_code = 6


class IndexGone(Corrupt):
    """The index was removed, or another put in its place, or it is missing beside a spool that holds jobs.

    Going on would write into a file that nobody else sees: every process ends, and none starts, until a person
    has had the index made again.
    """


class IndexDamaged(IndexGone):
    """The index is there, and what is in it can not be right: its disk failed, or somebody wrote into its file."""

    LEAD = "The index is damaged: "

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{self.LEAD}{problem.rstrip('.')}.",
            "Make it again from the spool, which loses no job: pqfs index rebuild",
        )
        self.problem = problem


class SchemaTooNew(IndexGone):
    """A newer pqfs has brought the index up to date: this one knows less of it than stands in it."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"The index has schema {found}, this pqfs knows up to {known}.",
            "Install the newer pqfs here, too, and start it. There is no way back but a backup made before.",
        )
        self.found, self.known = found, known


class VolumeFault(Corrupt):
    """A sync failed. It is never repeated on the same data, because the second one lies.

    Source: ATC '20 "Can Applications Recover from fsync Failures?"; PostgreSQL panics for the same reason.
    """


class HandlerVerdict(PqfsError):
    """What a handler raises to say how its attempt ended. `exit_status`: the program's, where a program said it."""

    exit_status: int | None = None


class RetryLater(HandlerVerdict):
    """Not now: give the job back for `delay` seconds. Costs no failure."""

    def __init__(self, message: str = "the handler asked to try later", delay: float = 60.0) -> None:
        super().__init__(message)
        self.delay = delay


class Permanent(HandlerVerdict):
    """This input can never succeed: the job fails at once."""


def explained(error: BaseException) -> PqfsError | None:
    """An error as one of ours: itself, or what the machine's trouble with a file means; None for what is a bug."""
    if isinstance(error, PqfsError):
        return error
    if not isinstance(error, OSError) or error.errno not in _ENVIRONMENT:
        return None
    about = "" if isinstance(error.filename, int | None) else f" ({_shown(error.filename)})"
    kind = DiskFull if error.errno in NO_ROOM else Stale if error.errno in _GONE else Unavailable
    return kind(f"The machine refuses a file operation: {error.strerror}{about}.", "It is tried again by itself.")


def _shown(path: object) -> str:
    return path.decode("utf-8", "backslashreplace") if isinstance(path, bytes) else str(path)
