"""Promises of what pqfs tells of itself: counters never shrink, no label breaks the text."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_INDEX, _EXPOSITION, _METRICS = "pqfs/index/__init__.py", "pqfs/exposition.py", "pqfs/metrics.py"

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
)
