"""Promises of queues, each taken out: nothing starves, limits hold, of duplicates one is the job."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_DISPATCH, _DUPLICATES, _QUEUEING = "pqfs/dispatch.py", "pqfs/duplicates.py", "pqfs/queueing.py"

MUTANTS = (
    Mutant(
        "aging never fires",
        _DISPATCH,
        "        return now - since >= self._terms.queue(queue).aging\n",
        "        return False\n",
        ("tests/test_dispatch.py", "-k", "nothing_starves"),
    ),
    Mutant(
        "aging is asked of each queue alone",
        _DISPATCH,
        "if head and (is_cut or len(head) >= rooms[queue])]",
        "if head and len(head) >= rooms[queue] and len(heads) == 1]",
        ("tests/test_dispatch.py", "-k", "nothing_starves"),
    ),
    Mutant(
        "the old take all",
        _DISPATCH,
        "        count, self._owed = divmod(self._owed + len(chosen), SHARE)\n",
        "        count = len(chosen)\n",
        ("tests/test_dispatch.py", "-k", "one_claimed_job_in_eight"),
    ),
    Mutant(
        "old jobs are leased last, and given back with the rest",
        _DISPATCH,
        "            chosen = _within((*old, *chosen), rooms, limit)",
        "            chosen = _within((*chosen[: -len(old)], *old), rooms, limit)",
        ("tests/test_dispatch.py", "-k", "although_better_ones_wait"),
    ),
    Mutant(
        "whether anything is old is asked at each claim",
        _DISPATCH,
        "            if asked <= now and not self._is_old(queue, since, now):\n                return []\n",
        "            pass\n",
        ("tests/test_dispatch.py", "-k", "no_statement_more"),
    ),
    Mutant(
        "a clock that was set back keeps the old waiting",
        _DISPATCH,
        "            if asked <= now and not self._is_old",
        "            if not self._is_old",
        ("tests/test_dispatch.py", "-k", "set_back"),
    ),
    Mutant(
        "a consumer leases ahead of a queue whose jobs may not all run at once",
        _DISPATCH,
        "            limit = min(limit, free, 1 - self._rows.leased_by(owner, queue))\n",
        "            limit = min(limit, free)\n",
        ("tests/test_dispatch.py", "-k", "keeps_no_job"),
    ),
    Mutant(
        "what is given back has used up the claim_rate",
        _DISPATCH,
        "            self._rows.count_claimed(job.queue, job.updated_at, -1)\n",
        "            pass\n",
        ("tests/test_dispatch.py", "-k", "used_up_nothing"),
    ),
    Mutant(
        "a pause is over for nobody but the janitor",
        "pqfs/index/__init__.py",
        "        return self.paused_at is not None and (self.paused_until is None or now < self.paused_until)\n",
        "        return self.paused_at is not None\n",
        ("tests/test_dispatch.py", "-k", "time_has_passed"),
    ),
    Mutant(
        "the row of a queue is written before its note",
        _QUEUEING,
        "        self._spool.write_note(name, _note(after))\n",
        "",
        ("tests/test_queueing.py", "-k", "told_durably"),
    ),
    Mutant(
        "a rebuild forgets what people set of queues",
        "pqfs/rebuild.py",
        "        Queueing(self._jobqueue).restore(self._clock.now())\n",
        "",
        ("tests/test_queueing.py", "-k", "rebuild_keeps"),
    ),
    Mutant(
        "a job in a deleted queue waits for ever",
        _QUEUEING,
        "        for name in self._rows.lost():\n",
        "        for name in ():\n",
        ("tests/test_queueing.py", "-k", "too_early"),
    ),
    Mutant(
        "two duplicates of one batch are both jobs",
        _DUPLICATES,
        "            holder = first.get(key) or self._keys.holder(key)\n",
        "            holder = self._keys.holder(key)\n",
        ("tests/test_duplicates.py", "-k", "one_sweep"),
    ),
    Mutant(
        "an arrival is a duplicate of itself",
        _DUPLICATES,
        "            if holder not in (None, arrival.id):\n",
        "            if holder is not None:\n",
        ("tests/test_duplicates.py", "-k", "of_itself"),
    ),
    Mutant(
        "what has failed keeps its key",
        "pqfs/index/statements.sql",
        "WHERE keys.queue = :queue AND keys.kind = :kind AND keys.digest = :digest\n"
        "AND jobs.state IN ('pending', 'held', 'processing', 'completed');",
        "WHERE keys.queue = :queue AND keys.kind = :kind AND keys.digest = :digest;",
        ("tests/test_duplicates.py", "-k", "may_yet_answer"),
    ),
    Mutant(
        "a rebuild forgets keys",
        "pqfs/rebuild.py",
        "            self._jobqueue.duplicates.remember(jobs)\n",
        "",
        ("tests/test_duplicates.py", "-k", "rebuild_knows"),
    ),
)
