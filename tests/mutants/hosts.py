"""Promises of an index on PostgreSQL and of several hosts, each taken out."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_SESSION, _OWNERS, _SQL = "pqfs/index/session.py", "pqfs/owners.py", "pqfs/index/statements.sql"
_LIFE, _CONSUMER = "pqfs/hosts.py", "pqfs/consumer.py"
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
        "            if self.is_of_here(owner):\n",
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
    Mutant(
        "after an outage the first who is back buries the others",
        _LIFE,
        "        if connection != self._connection:\n",
        "        if not self._connection:\n",
        (_HOSTS, "-k", "after_an_outage"),
    ),
    Mutant(
        "who loses his connection for a moment is dead",
        _LIFE,
        "_GRACE = 3.0",
        "_GRACE = 0.0",
        (_HOSTS, "-k", "takes_his_name_again"),
    ),
    Mutant(
        "who never held his name is dead because he does not",
        _LIFE,
        "        return owner in self._held\n",
        "        return True\n",
        (_HOSTS, "-k", "lives_by_its_lease"),
    ),
    Mutant(
        "the next session of an owner does not hold its name",
        _SESSION,
        "        for name in self._names:\n",
        "        for name in self._names[:0]:\n",
        (_INDEX, "-k", "has_its_name_again"),
    ),
    Mutant(
        "who leads and is stopped leads for ever",
        "pqfs/index/postgres.py",
        "set_config('idle_session_timeout', %s, false)",
        "set_config('application_name', %s, false)",
        (_INDEX, "-k", "says_nothing"),
    ),
    Mutant(
        "a janitor that does not lead takes over the work of another host",
        "pqfs/janitor.py",
        "if leads or self._owners.is_of_here(each)",
        "if leads or each",
        (_HOSTS, "-k", "does_not_lead"),
    ),
    Mutant(
        "a claim whose answer got lost is nobody's",
        _CONSUMER,
        "            self._doubts.is_unsure = True\n",
        "            self._doubts.is_unsure = False\n",
        ("tests/test_doubts.py", "-k", "answer_lost"),
    ),
    Mutant(
        "an index is brought up to date under an older pqfs on another host",
        "pqfs/index/schema.py",
        "                consent(engine, found)\n",
        "                pass\n",
        ("tests/test_server_index.py", "-k", "stays_as_it_is"),
    ),
    Mutant(
        "who slept through an upgrade works on",
        "pqfs/vigil.py",
        "        if now >= self._due:\n",
        "        if now < self._due:\n",
        ("tests/test_vigil.py", "-k", "slept_through"),
    ),
    Mutant(
        "an older dump under a running pqfs is worked with",
        "pqfs/vigil.py",
        "            refuse_exchanged(self._spool, self._index)\n",
        "            pass\n",
        ("tests/test_vigil.py", "-k", "older_index"),
    ),
    Mutant(
        "the era that begins is the one that was",
        "pqfs/custody.py",
        "    era = max(mark.era + 1, marked[1])\n",
        "    era = max(mark.era, marked[1])\n",
        ("tests/test_vigil.py", "-k", "older_index"),
    ),
    Mutant(
        "no era begins in the midst of a run",
        "pqfs/janitor.py",
        "            begin_era(self._spool, self._index)\n",
        "            pass\n",
        ("tests/process/test_restored.py", "-m", "slow", "-k", "sqlite"),
    ),
    Mutant(
        "whoever ends last marks an older dump as the present index",
        "pqfs/custody.py",
        "                    refuse_exchanged(self._spool, index)\n                    era",
        "                    era",
        ("tests/test_vigil.py", "-k", "older_index"),
    ),
    Mutant(
        "an older dump is brought up to date beside another host that works with it",
        "pqfs/opening.py",
        "            self._refuse_beside_others(index, found)\n",
        "            pass\n",
        ("tests/test_server_index.py", "-k", "older_dump"),
    ),
    Mutant(
        "a spool without a mark takes over the index of another one",
        "pqfs/opening.py",
        "        if not any(_known(self._spool, index)):\n",
        "        if False:\n",
        ("tests/test_server_index.py", "-k", "holds_files"),
    ),
    Mutant(
        "the probe of another host's ingester stands for one's own",
        "pqfs/watch.py",
        "self.seen_at = self.seen_at or time.monotonic()",
        "self.seen_at = time.monotonic()",
        ("tests/test_watch.py", "-k", "another_hosts"),
    ),
    Mutant(
        "a statement is prepared in a session that a proxy gives to somebody else",
        _SESSION,
        "            self._connection.prepare_threshold = None\n",
        "            pass\n",
        ("tests/process/test_proxy.py", "-m", "slow"),
    ),
    Mutant(
        "a session that a proxy gives to others is made to listen",
        "pqfs/index/listening.py",
        "            if wire.is_pooled(self._connection, pid):\n",
        "            if False:\n",
        ("tests/process/test_proxy.py", "-m", "slow"),
    ),
)
