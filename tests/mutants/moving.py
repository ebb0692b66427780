"""Promises of a move of the index beside its pipeline, each taken out: no change is forgotten, no half is the whole."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_MOVING, _RECORDING, _TABLES = "pqfs/index/moving.py", "pqfs/index/recording.py", "pqfs/index/tables.py"
_COMMAND = "pqfs/cli/moving.py"
_STEPS, _WHOLE = "tests/index/test_move_beside.py", "tests/test_index_move.py"

MUTANTS = (
    Mutant(
        "what changes after a row was read is forgotten with its entry",
        _MOVING,
        "        return sum(map(len, found.values()))\n",
        "        self._recording.take()\n        return sum(map(len, found.values()))\n",
        (_STEPS, "-k", "after_it_was_read and sqlite"),
    ),
    Mutant(
        "rows that are removed are not recorded",
        "pqfs/index/changes.sqlite.sql",
        "_recorded_out AFTER DELETE ON {table} BEGIN",
        "_recorded_out AFTER DELETE ON {table} WHEN false BEGIN",
        (_STEPS, "-k", "sqlite and (any_step or every_change)"),
    ),
    Mutant(
        "rows that are removed are not recorded on a server",
        "pqfs/index/changes.postgres.sql",
        "  IF TG_OP <> 'INSERT' THEN",
        "  IF TG_OP = 'UPDATE' THEN",
        (_STEPS, "-k", "postgres and (any_step or every_change)"),
    ),
    Mutant(
        "a key is carried over before its job",
        "pqfs/index/changes.sqlite.sql",
        "ORDER BY kind, key LIMIT",
        "ORDER BY kind DESC, key LIMIT",
        (_STEPS, "-k", "sqlite and any_step"),
    ),
    Mutant(
        "a key is copied that has no job there",
        _MOVING,
        "self._surplus, self._with_a_job(self._missing)",
        "self._surplus, self._missing",
        (_STEPS, "-k", "sqlite and waits_for_it"),
    ),
    Mutant(
        "any difference is taken for a change",
        _MOVING,
        "[key for key in differing if not self._recording.has(table, key)]",
        "[]",
        (_STEPS, "-k", "sqlite and no_change_explains"),
    ),
    Mutant(
        "only some of the rest is carried over",
        _MOVING,
        "        while carried := self.carry():\n            advance(carried)\n        mine",
        "        if carried := self.carry():\n            advance(carried)\n        mine",
        (_STEPS, "-k", "sqlite and (any_step or faster)"),
    ),
    Mutant(
        "who was ended by another goes on",
        _RECORDING,
        "            self._refuse_ended()\n",
        "",
        (_STEPS, "-k", "sqlite and ended_says_so"),
    ),
    Mutant(
        "half a move has the mark of the whole",
        _TABLES,
        "ROWS = TABLES[:-1]",
        "ROWS = TABLES",
        (_STEPS, "-k", "sqlite and any_step"),
    ),
    Mutant(
        "a move that is given up goes on to record",
        _MOVING,
        "        with suppress(PqfsError):  # the first error counts\n            move.end()\n",
        "",
        (_STEPS, "-k", "sqlite and nothing_of_a_move"),
    ),
    Mutant(
        "a target has its mark before it is whole",
        _COMMAND,
        "            _beside(under_way, old)\n",
        "            _hand_over(old, new)\n            _beside(under_way, old)\n",
        (_WHOLE, "-k", "half_a_move"),
    ),
    Mutant(
        "who waits goes on with the settings that it has read",
        "pqfs/services.py",
        " or (loaded.edition and loaded.edition.is_outdated):",
        ":",
        ("tests/test_services.py", "-k", "settings_have_changed"),
    ),
    Mutant(
        "the word of who was killed keeps everybody waiting",
        "pqfs/custody.py",
        "    _drop_word_of_the_dead(spool)\n    try:\n",
        "    try:\n",
        (_WHOLE, "-k", "can_be_abandoned and file"),
    ),
    Mutant(
        "a word is taken for one of the dead before its author holds it",
        "pqfs/custody.py",
        "    fcntl.flock(descriptor, fcntl.LOCK_EX)  # before anybody can see it\n",
        "",
        (_WHOLE, "-k", "told_to_wait and file"),
    ),
)
