"""What was charged to jobs, held against what was done to them.

A crash may be charged when chaos hit the job's consumer or runner, or the handler said that it would crash; a
failure when chaos killed the handler's own program, or the handler said that it would fail. Nothing else may be:
the death of an ingester, a janitor or a supervisord, a restart, a sleep of all processes at once, cost a job nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pqfs.model import Attempt, Job
from pqfs.torture.account import Account

_FAILURES = frozenset({"failed", "timeout", "permanent", "missing"})
_CRASHES = frozenset({"crashed"})
_LOSSES = frozenset({"retry later", "environment", "lost"})
_AT_WORK = frozenset({"consumer", "runner"})
_PROGRAMS = frozenset({"handler"})


def wrong(account: Account) -> Iterator[str]:
    """Every charge that nobody caused, and every budget that does not fit its job's history."""
    yield from _crashes(account)
    yield from _failures(account)
    yield from _budgets(account)


def _crashes(account: Account) -> Iterator[str]:
    """No owner's jobs crashed more often than it, or its runner, was hit."""
    hits = (line for line in account.kills if line["kind"] != "freeze")
    caused = Counter(line["owner"] for line in hits if line.get("victim") in _AT_WORK)
    caused.update(line["owner"] for line in account.notes if line["will"] == "crash")
    crashed = Counter(each.owner for each in _all(account) if each.outcome in _CRASHES)
    for owner, number in crashed.items():
        if number > caused[owner]:
            yield f"{number} crashes are charged to jobs of {owner}, which was hit {caused[owner]} times"


def _failures(account: Account) -> Iterator[str]:
    """Each failed attempt was asked for by its payload, or its own program was killed."""
    caused = {(line["job"], line["attempt"]) for line in account.notes if line["will"] != "crash"}
    caused |= {(line["job"], line["attempt"]) for line in account.kills if line["kind"] in _PROGRAMS}
    for each in _all(account):
        if each.outcome in _FAILURES and (each.job, each.attempt) not in caused:
            yield f"attempt {each.attempt} of job {each.job} is charged as {each.outcome}: {each.error}"


def _budgets(account: Account) -> Iterator[str]:
    """What the row counts is what its history tells, where no operator has changed one of the two."""
    steered = {act.job for act in account.acts if act.verb in ("retry", "cancel")}
    for job in account.jobs.values():
        told = _told(account.attempts[job.id])
        counted = (job.failures, job.crashes, job.losses)
        if job.id not in steered and counted != told:
            yield f"job {job.id} counts {_words(counted)}, its history tells {_words(told)}"
        if len({each.attempt for each in account.attempts[job.id]}) > job.attempt:
            yield f"job {job.id} is at attempt {job.attempt} and has a longer history"
    yield from (_ended_wrongly(job, account) for job in account.jobs.values() if _is_unasked(job, account))


def _told(history: list[Attempt]) -> tuple[int, int, int]:
    kinds = (_FAILURES, _CRASHES, _LOSSES)
    failures, crashes, losses = (sum(each.outcome in kind for each in history) for kind in kinds)
    return failures, crashes, losses


def _words(counts: tuple[int, int, int]) -> str:
    return f"{counts[0]} failures, {counts[1]} crashes and {counts[2]} losses"


def _is_unasked(job: Job, account: Account) -> bool:
    """A dead letter of a queue whose limits nobody can reach, that was neither permanent nor marked failed."""
    asked = {line["job"] for line in account.notes if line["will"] == "permanent"}
    asked |= {act.job for act in account.acts if act.verb == "fail"}
    return job.state in ("failed", "unprocessable") and job.queue != "hard" and job.id not in asked


def _ended_wrongly(job: Job, account: Account) -> str:
    return f"job {job.id} of queue {job.queue} is {job.state}, and nothing asked for it: {job.error}"


def _all(account: Account) -> Iterator[Attempt]:
    for history in account.attempts.values():
        yield from history
