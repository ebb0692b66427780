"""Promises of receipts and hooks, each taken out."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_COURIER, _HOOKS, _JOBQUEUE, _STEERING = "pqfs/courier.py", "pqfs/hooks.py", "pqfs/jobqueue.py", "pqfs/steering.py"
_TESTS = "tests/test_notices.py"

MUTANTS = (
    Mutant(
        "nobody is told that a job was completed",
        _JOBQUEUE,
        "            self.notices.completed([each for each in completions if each.job.id in won], now)\n",
        "",
        (_TESTS, "-k", "receipt_says"),
    ),
    Mutant(
        "what people do to a job is told to nobody",
        _STEERING,
        "            self.notices.settled(job, steered, now)\n",
        "",
        (_TESTS, "-k", "what_people_do"),
    ),
    Mutant(
        "it is told before it can be seen",
        _COURIER,
        "            if self._has_happened(notice):",
        "            if True:",
        (_TESTS, "-k", "seen_yet or did_not_happen"),
    ),
    Mutant(
        "an earlier receipt is written over a later one",
        "pqfs/index/statements.sql",
        "WHERE sink = :sink AND subject = :subject AND number <= :number",
        "WHERE sink = :sink AND subject = :subject AND number = :number",
        (_TESTS, "-k", "gives_way"),
    ),
    Mutant(
        "a hook is told again and again without an end",
        _COURIER,
        "        if notice.tries + 1 >= hook.tries:",
        "        if False:",
        (_TESTS, "-k", "put_aside"),
    ),
    Mutant(
        "a webhook is sent unsigned where its secret is empty",
        _HOOKS,
        '        raise ValueError("it is empty")',
        "        return {}",
        (_TESTS, "-k", "without_its_secret"),
    ),
    Mutant(
        "what a program has started is left running",
        _HOOKS,
        "        os.killpg(process.pid, signal.SIGKILL)",
        "        process.kill()",
        (_TESTS, "-m", "", "-k", "never_ends"),
    ),
)
