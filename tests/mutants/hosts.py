"""Promises of an index on PostgreSQL and of several hosts, each taken out."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_SESSION, _OWNERS, _SQL = "pqfs/index/session.py", "pqfs/owners.py", "pqfs/index/statements.sql"
_INDEX, _HOSTS = "tests/index/test_postgres.py", "tests/test_hosts.py"

MUTANTS = (
    Mutant(
        "a commit whose answer is lost is told as failed",
        _SESSION,
        "            if not self._was_committed(str(number)):\n",
        "            if number:\n",
        (_INDEX, "-k", "answer_is_lost"),
    ),
    Mutant(
        "a commit whose answer is lost is told as carried out",
        _SESSION,
        "            if not self._was_committed(str(number)):\n",
        "            if number is None:\n",
        (_INDEX, "-k", "answer_is_lost"),
    ),
    Mutant(
        "several write to PostgreSQL at once",
        _SESSION,
        '"SELECT pg_advisory_xact_lock(',
        '"SELECT pg_advisory_xact_lock_shared(',
        (_INDEX, "-k", "waits_in_vain"),
    ),
    Mutant(
        "another host's owner is looked for among the processes of this one",
        _OWNERS,
        "            if host_of(owner) in (None, self._host):\n",
        "            if owner:\n",
        (_HOSTS, "-k", "lock_file_here"),
    ),
    Mutant(
        "two machines work under one name",
        _SQL,
        "WHERE hosts.boot_id = excluded.boot_id OR excluded.beat_at - hosts.beat_at > hosts.lease\n",
        "",
        (_HOSTS, "-k", "one_name"),
    ),
)
