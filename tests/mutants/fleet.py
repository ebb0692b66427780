"""Promises of assigned jobs and of people's acts on consumers, each taken out."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_STEERING, _SQL, _ASSIGNMENTS = "pqfs/steering.py", "pqfs/index/statements.sql", "pqfs/assignments.py"
_TESTS = "tests/test_assignments.py"

MUTANTS = (
    Mutant(
        "an assignment is not kept through a rebuild",
        _STEERING,
        "            self._keep(assigned)\n",
        "",
        (_TESTS, "-k", "loss_of_the_index"),
    ),
    Mutant(
        "an assignment that was taken back comes back with a rebuild",
        _STEERING,
        "            self._keep(assigned)\n",
        "            if program is not None:\n                self._keep(assigned)\n",
        (_TESTS, "-k", "stays_away"),
    ),
    Mutant(
        "what is assigned to one consumer is claimed by all",
        _SQL,
        "WHERE state = 'pending' AND due = 1 AND assigned_to IS NULL AND queue = :queue AND confirmed = 1\n"
        "ORDER BY priority DESC, ready_at, id LIMIT :limit",
        "WHERE state = 'pending' AND due = 1 AND queue = :queue AND confirmed = 1\n"
        "ORDER BY priority DESC, ready_at, id LIMIT :limit",
        (_TESTS, "-k", "nobody_else"),
    ),
    Mutant(
        "a consumer takes what is assigned to it from a queue that it does not serve",
        _SQL,
        "AND assigned_to = :program AND queue IN ({listed}) AND confirmed = 1",
        "AND assigned_to = :program AND confirmed = 1",
        (_TESTS, "-k", "foreign_queue"),
    ),
    Mutant(
        "a consumer that is only started again loses what is assigned to it",
        _ASSIGNMENTS,
        '            return f"{program} is gone" if is_over else None\n',
        '            return f"{program} is gone"\n',
        (_TESTS, "-k", "started_again"),
    ),
    Mutant(
        "a job waits for ever for a consumer that is gone",
        _ASSIGNMENTS,
        '            return f"{program} is gone" if is_over else None\n',
        "            return None\n",
        (_TESTS, "-k", "stays_away"),
    ),
    Mutant(
        "the monitor does not wait for a yes",
        "pqfs/cli/live.py",
        '        if asked is None or key not in ("y", "Y"):\n',
        "        if asked is None:\n",
        ("tests/test_monitor.py", "-k", "once_the_person_says_yes"),
    ),
    Mutant(
        "who changed pqfs.toml is not told that it is not in force",
        "pqfs/edition.py",
        "        return self.mark != mark_of_file(Path(self.path))\n",
        "        return False\n",
        ("tests/test_edition.py", "-k", "another_edition"),
    ),
)
