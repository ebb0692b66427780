"""Promises of what pqfs tells of itself, and when: counters never shrink, no due time brings two jobs."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_INDEX, _EXPOSITION, _METRICS = "pqfs/index/__init__.py", "pqfs/exposition.py", "pqfs/metrics.py"
_DUPLICATES, _FIRING = "pqfs/duplicates.py", "pqfs/firing.py"

MUTANTS = (
    Mutant(
        "what is forgotten of minutes is no longer counted",
        _INDEX,
        '        self.engine.run("keep_totals", {"minute": int(before // 60)})\n',
        "",
        ("tests/test_metrics.py", "-k", "do_not_shrink"),
    ),
    Mutant(
        "attempts that fail are not counted",
        _INDEX,
        '        self.engine.run("count_outcome", {"queue": job.queue, "outcome": outcome.kind})\n',
        "",
        ("tests/test_metrics.py", "-k", "how_attempts_ended"),
    ),
    Mutant(
        "a quote in a label ends it",
        _EXPOSITION,
        """.replace('"', r"\\"")""",
        "",
        ("tests/test_metrics.py", "-k", "breaks_the_text"),
    ),
    Mutant(
        "a queue without jobs has no figures",
        _METRICS,
        "totals.get(name, Total(name, 0, 0, 0, 0, 0.0)) for name in names",
        "totals[name] for name in names if name in totals",
        ("tests/test_metrics.py", "-k", "told_once"),
    ),
    Mutant(
        "a due time that was seen to is seen to again",
        _DUPLICATES,
        "        if schedule is None or schedule.done_at < due:\n",
        "        if True:\n",
        ("tests/test_schedules.py", "-k", "two_janitors"),
    ),
    Mutant(
        "a job does not note its due time",
        _DUPLICATES,
        "        self._remember_origins(made)\n",
        "",
        ("tests/test_schedules.py", "-k", "two_janitors or died_before"),
    ),
    Mutant(
        "a rebuild knows due times by the notes alone",
        _DUPLICATES,
        "        self._remember_origins(jobs)\n",
        "",
        ("tests/test_schedules.py", "-k", "note_that_is_behind"),
    ),
    Mutant(
        "up to when a schedule has been seen to is kept in the index alone",
        _FIRING,
        "                self._schedules.keep(replace(row, done_at=seen_to, next_at=following))\n",
        "                self._rows.wish(replace(row, done_at=seen_to, next_at=following))\n",
        ("tests/test_schedules.py", "-k", "rebuild_knows"),
    ),
    Mutant(
        "the janitor sleeps past a due time",
        "pqfs/janitor.py",
        "        return usual if due is None else min(usual, max(_SOON, due - self._clock.now()))\n",
        "        return usual\n",
        ("tests/test_schedules.py", "-k", "sleeps_no_longer"),
    ),
    Mutant(
        "in an hour that comes twice a due time lies in the past",
        "pqfs/timetable.py",
        "        return (due for due in dues if due > after)",
        "        return dues",
        ("tests/test_schedules.py", "-k", "lies_ahead"),
    ),
    Mutant(
        "a sidecar may bring any trace context",
        "pqfs/sidecar.py",
        "        _check_trace(self.metadata)\n",
        "",
        ("tests/test_tracing.py", "-k", "none_is_refused"),
    ),
    Mutant(
        "programs are not told where in a trace they are",
        "pqfs/runner.py",
        ', **tracing.variables(assignment["metadata"])}',
        "}",
        ("tests/test_tracing.py", "-m", "slow", "-k", "through_all"),
    ),
    Mutant(
        "a line of JSON carries what draws on a terminal",
        "pqfs/events.py",
        "        return json.dumps(line)\n",
        "        return json.dumps(line, ensure_ascii=False)\n",
        ("tests/test_events.py", "-k", "plain_ascii"),
    ),
)
