"""What operators were told, held against what is true in the end.

An act that was answered with *done* stays done until another act changes it; one that was killed on its way is
either done or not; one that was refused changed nothing. A request to cancel what runs ends it: it may complete
before, but it never runs again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pqfs.model import Job, State
from pqfs.torture.account import Account, Act

_AFTER = {
    "hold": "held", "release": "free", "cancel": "cancelled", "retry": "free", "fail": "failed", "delete": "deleted",
}  # fmt: skip
_HELD_FAST = {"held": State.HELD, "cancelled": State.CANCELLED, "failed": State.FAILED}


def undone(account: Account) -> Iterator[str]:
    """Every acknowledged act that is not true any more, and every job that waits although nobody asked it to."""
    acts: dict[str, list[Act]] = defaultdict(list)
    for act in account.acts:
        acts[act.job].append(act)
    for job_id, history in acts.items():
        yield from _judge(job_id, history, account)
    for job in account.jobs.values():
        if job.state in (State.HELD, State.CANCELLED) and job.id not in acts:
            yield f"job {job.id} is {job.state}, and nobody asked for it"


def _judge(job_id: str, history: list[Act], account: Account) -> Iterator[str]:
    job = account.jobs.get(job_id)
    allowed = _allowed(history)
    said = ", ".join(f"{act.verb} ({act.answer})" for act in history)
    if job is None:
        if "deleted" not in allowed:
            yield f"job {job_id} is gone after {said}"
    elif not _fits(job, allowed):
        yield f"job {job_id} is {job.state} after {said}"
    elif _ran_again(job_id, history, account):
        yield f"job {job_id} ran again after {said}"


def _allowed(history: list[Act]) -> set[str]:
    """How a job may stand after these acts."""
    allowed = {"free"}
    for act in history:
        after = _AFTER[act.verb]
        match act.answer:
            case "done":
                allowed = {after}
            case "asked":
                allowed = {after, "free"}
            case "unknown":
                allowed.add(after)
    return allowed


def _fits(job: Job, allowed: set[str]) -> bool:
    held_fast = {_HELD_FAST[each] for each in allowed if each in _HELD_FAST}
    if job.state in held_fast:
        return True
    return "free" in allowed and job.state not in (State.HELD, State.CANCELLED)


def _ran_again(job_id: str, history: list[Act], account: Account) -> bool:
    """Whether an attempt began after the last act, a request to cancel, had been answered."""
    last = history[-1]
    if last.verb != "cancel" or last.answer != "asked":
        return False
    return any(each.started_at and each.started_at > last.ended_at for each in account.attempts[job_id])
