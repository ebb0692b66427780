"""Promises to programs and other hosts, each taken out: leases that end, keys, bodies within bounds."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_DEQUEUER, _DUPLICATES, _RECEPTION = "pqfs/dequeuer.py", "pqfs/duplicates.py", "pqfs/reception.py"
_ACCESS, _UPLOADS, _WORK, _KEYS = "pqfs/api/access.py", "pqfs/api/uploads.py", "pqfs/api/work.py", "pqfs/keys.py"

MUTANTS = (
    Mutant(
        "a lease that has run out is kept",
        _DEQUEUER,
        "                self._end_overdue()\n",
        "",
        ("tests/test_queue_api.py", "-k", "its_holder_publishes_nothing and runs_out"),
    ),
    Mutant(
        "a cancelled job is published by its holder",
        _DEQUEUER,
        "                self._end_cancelled()\n",
        "",
        ("tests/test_queue_api.py", "-k", "cancelled"),
    ),
    Mutant(
        "a lease outlasts its queue's timeout",
        _DEQUEUER,
        "min(now + seconds, limit)",
        "now + seconds",
        ("tests/test_queue_api.py", "-k", "timeout_of_its_queue"),
    ),
    Mutant(
        "any attempt ends the lease of its job",
        _DEQUEUER,
        "held is None or attempt not in (None, held.job.attempt) or held.holder != holder",
        "held is None or held.holder != holder",
        ("tests/api/test_work.py", "-k", "stale_attempt"),
    ),
    Mutant(
        "a lease is anybody's",
        _DEQUEUER,
        "held is None or attempt not in (None, held.job.attempt) or held.holder != holder",
        "held is None or attempt not in (None, held.job.attempt)",
        ("tests/api/test_access.py", "-k", "its_keys"),
    ),
    Mutant(
        "a loss of power may give an attempt's number to two",
        _DEQUEUER,
        "self._clock.now(), self._outlived)",
        "self._clock.now())",
        ("tests/api/test_work.py", "-k", "waits_for_a_flush"),
    ),
    Mutant(
        "a key counts only where a queue looks for duplicates",
        _DUPLICATES,
        '        return "link" if policy == "off" and ONCE in options else policy\n',
        "        return policy\n",
        ("tests/test_queue_api.py", "-k", "known_key"),
    ),
    Mutant(
        "what a failed commit had moved waits for the end of its process",
        _RECEPTION,
        "                if self._submitter.is_broken:\n                    self.close()\n",
        "                pass\n",
        ("tests/api/test_work.py", "-k", "adopted"),
    ),
    Mutant(
        "without keys everybody is served",
        _ACCESS,
        "    if request.client is None or not is_loopback(request.client.host):\n",
        "    if False:\n",
        ("tests/api/test_access.py", "-k", "without_keys_only"),
    ),
    Mutant(
        "without keys a page of another site is served",
        _ACCESS,
        '    if origin is not None and origin.partition("://")[2] != host:\n',
        "    if False:\n",
        ("tests/api/test_access.py", "-k", "another_site"),
    ),
    Mutant(
        "a revoked key is good until the next start",
        _KEYS,
        "        if mark is None or mark != self._mark:\n",
        "        if not self._held:\n",
        ("tests/api/test_access.py", "-k", "revoked"),
    ),
    Mutant(
        "a body of any size is taken",
        _UPLOADS,
        '        if size > largest:\n            raise TooLarge(f"The body has more than {largest} bytes.")\n',
        "",
        ("tests/api/test_work.py", "-k", "too_large"),
    ),
    Mutant(
        "what was refused stays in scratch",
        _WORK,
        "            await self.desk.run(self.desk.discard, path)\n",
        "            pass\n",
        ("tests/api/test_work.py", "-k", "leaves_nothing_behind"),
    ),
    Mutant(
        "a forked child uses the index of its parent",
        "pqfs/spoolqueue.py",
        "        if os.getpid() != self._process:\n            raise Refused(",
        "        if False:\n            raise Refused(",
        ("tests/test_queue_api.py", "-k", "forked_child"),
    ),
    Mutant(
        "a pqfs.toml that leads nowhere is taken for none",
        "pqfs/settings.py",
        "_USUAL.absolute() if os.path.lexists(_USUAL) else None",
        "_USUAL.absolute() if _USUAL.is_file() else None",
        ("tests/test_settings.py", "-k", "leads_nowhere"),
    ),
)
