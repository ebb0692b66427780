"""Promises of people's verbs and of purging, each taken out: an acknowledged act stays, a tombstone comes first."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_STEERING, _SQL, _SPOOL = "pqfs/steering.py", "pqfs/index/statements.sql", "pqfs/spool.py"

MUTANTS = (
    Mutant(
        "a job that is steered on before its payload has arrived is not moved for good",
        _STEERING,
        "        if verb is Verb.REDRIVE or not job.confirmed:",
        "        if verb is Verb.REDRIVE:",
        ("tests/crash/test_races.py", "-k", "redrive_whose"),
    ),
    Mutant(
        "a hold is not kept through a rebuild",
        _STEERING,
        "            if self._is_to_be_kept(steered, verb, now):\n                self._keep(steered)\n",
        "",
        ("tests/crash/test_effects.py", "-k", "before_any_effect and (hold or rebuild)"),
    ),
    Mutant(
        "a release leaves the mark that would hold the job again",
        _STEERING,
        "        return verb in (Verb.HOLD, Verb.RELEASE)",
        "        return verb is Verb.HOLD",
        ("tests/crash/test_effects.py", "-k", "before_any_effect and (release or rebuild)"),
    ),
    Mutant(
        "a person's verb does not ask which attempt it was meant for",
        _SQL,
        "WHERE id = :id AND state = :from_state AND attempt = :attempt AND place <> 'gone'",
        "WHERE id = :id AND state = :from_state AND place <> 'gone'",
        ("tests/index/test_contract.py", "-k", "of_another_attempt"),
    ),
    Mutant(
        "a person's verb does not ask for the state",
        _SQL,
        "WHERE id = :id AND state = :from_state AND attempt = :attempt AND place <> 'gone'",
        "WHERE id = :id AND attempt = :attempt AND place <> 'gone'",
        ("tests/index/test_contract.py", "-k", "persons_verb or tombstone or claim"),
    ),
    Mutant(
        "a tombstone can be steered back to life",
        _SQL,
        "WHERE id = :id AND state = :from_state AND attempt = :attempt AND place <> 'gone'",
        "WHERE id = :id AND state = :from_state AND attempt = :attempt",
        ("tests/index/test_contract.py", "-k", "tombstone"),
    ),
    Mutant(
        "a late confirmation confirms what has changed since",
        _SQL,
        "WHERE id = :id AND attempt = :attempt AND state = :state AND place = :place AND state <> 'processing'",
        "WHERE id = :id AND state <> 'processing'",
        ("tests/index/test_contract.py", "-k", "late_confirmation"),
    ),
    Mutant(
        "a payload on the move may be let go",
        _SQL,
        "WHERE id = :id AND place IN ('done', 'dead', 'cancelled') AND confirmed = 1",
        "WHERE id = :id AND place IN ('done', 'dead', 'cancelled')",
        ("tests/index/test_contract.py", "-k", "tombstone"),
    ),
    Mutant(
        "a row may be deleted while its payload is on the move",
        _SQL,
        "DELETE FROM jobs WHERE id = :id AND state = :state AND confirmed = 1 RETURNING id",
        "DELETE FROM jobs WHERE id = :id AND state = :state RETURNING id",
        ("tests/index/test_contract.py", "-k", "deleted_only_when"),
    ),
    Mutant(
        "a payload is removed without a tombstone",
        _STEERING,
        "            if job.place is not Place.GONE and not self.index.let_go(job.id):\n                return False\n",
        "",
        ("tests/crash/test_effects.py", "tests/crash/test_races.py", "-k", "delete"),
    ),
    Mutant(
        "the row goes before the payload that it tells of",
        _STEERING,
        '        self.spool.discard_for_good(job)\n        self.spool.remove(f"meta/',
        "        with self.index.transaction():\n"
        "            self.index.confirm_gone(job.id)\n"
        "            self.index.delete(job)\n"
        '        self.spool.discard_for_good(job)\n        self.spool.remove(f"meta/',
        ("tests/crash/test_effects.py", "-k", "before_any_effect and delete"),
    ),
    Mutant(
        "a purge is forgotten by the disk although its row has gone",
        _SPOOL,
        '                self.remove(f"claimed/{name}")\n        self._sync_places(job)\n',
        '                self.remove(f"claimed/{name}")\n',
        ("tests/crash/test_effects.py", "-k", "removal_is_durable"),
    ),
    Mutant(
        "a redriven job keeps its used budget",
        _STEERING,
        "        fresh = replace(job, failures=0, crashes=0, losses=0, ready_at=max(now, ready_at))",
        "        fresh = replace(job, ready_at=max(now, ready_at))",
        ("tests/test_jobqueue.py", "-k", "redriven"),
    ),
    Mutant(
        "a priority that a person gave is not kept through a rebuild",
        _STEERING,
        "            self._keep(planned)\n",
        "",
        ("tests/test_steering.py", "-k", "kept_through_a_rebuild"),
    ),
    Mutant(
        "a hold takes a job's time back to what it was when the person looked",
        _STEERING,
        "        ready_at = job.ready_at if verb is Verb.REDRIVE else None",
        "        ready_at = job.ready_at",
        ("tests/test_steering.py", "-k", "what_somebody_else"),
    ),
    Mutant(
        "a priority takes a job's time back to what it was when the person looked",
        _SQL,
        "                ready_at = coalesce(:ready_at, ready_at),\n"
        "                due = CASE WHEN coalesce(:ready_at, ready_at) <= :now THEN 1 ELSE 0 END\n",
        "                ready_at = coalesce(:ready_at, :now), due = 1\n",
        ("tests/test_steering.py", "-k", "what_somebody_else"),
    ),
    Mutant(
        "what a rebuild is told is written when the index is free again",
        _STEERING,
        "            if self._is_to_be_kept(steered, verb, now):\n"
        "                self._keep(steered)\n"
        "            self.index.add_event(now, actor, verb, job=job.id, reason=reason, before=job.state, after=state)\n"
        "            self.notices.settled(job, steered, now)\n",
        "            self.index.add_event(now, actor, verb, job=job.id, reason=reason, before=job.state, after=state)\n"
        "            self.notices.settled(job, steered, now)\n"
        "        self._keep(steered)\n",
        ("tests/crash/test_enumeration.py", "-k", "order_of_two_actors and at"),
    ),
    Mutant(
        "a plan does not ask for the state",
        _SQL,
        "WHERE id = :id AND state = :state AND attempt = :attempt AND state IN ('pending', 'held')\nRETURNING {columns};\n\n"
        "-- name: assign",
        "WHERE id = :id\nRETURNING {columns};\n\n-- name: assign",
        ("tests/test_steering.py", "-k", "has_changed_meanwhile"),
    ),
    Mutant(
        "recovery deletes the row of a job of which only the input was to go",
        _STEERING,
        "        return job.state is State.COMPLETED or (bool(events) and events[-1].verb == DISCARD)",
        "        return job.state is State.COMPLETED",
        ("tests/crash/test_effects.py", "-k", "before_any_effect and delete_the_input"),
    ),
    Mutant(
        "a row goes alone although its input is kept",
        _STEERING,
        "        if job.place is not Place.GONE:\n            raise Refused",
        "        if job.place is Place.READY:\n            raise Refused",
        ("tests/test_steering.py", "-k", "be_gone or alone_only"),
    ),
    Mutant(
        "an event does not cover the one before it",
        "pqfs/index/__init__.py",
        '        row["hash"] = link(last, row)',
        '        row["hash"] = link("", row)',
        ("tests/index/test_audit.py",),
    ),
    Mutant(
        "the end of the chain is not remembered",
        "pqfs/index/audit.py",
        "    if number < end.head:",
        "    if number < 0:",
        ("tests/index/test_audit.py", "-k", "names_the_first"),
    ),
    Mutant(
        "the beginning of a chain that was cut is not remembered",
        "pqfs/index/audit.py",
        "        if last.id > chain.anchor:",
        "        if last.id < chain.anchor:",
        ("tests/index/test_audit.py", "-k", "be_cut"),
    ),
    Mutant(
        "a dead letter has no group",
        "pqfs/index/__init__.py",
        "    return fingerprint(error) if state in DEAD else None",
        "    return None",
        ("tests/test_dead.py", "-k", "in_a_group or grouped"),
    ),
    Mutant(
        "a job that waits again is still in its group",
        "pqfs/index/__init__.py",
        "    return fingerprint(error) if state in DEAD else None",
        "    return fingerprint(error)",
        ("tests/test_dead.py", "-k", "in_a_group"),
    ),
    Mutant(
        "the time that a rate gave is not kept through a rebuild",
        _STEERING,
        '            return job.ready_at > now or bool(self.spool.read_meta(job.id).get("held"))\n',
        '            return bool(self.spool.read_meta(job.id).get("held"))\n',
        ("tests/test_dead.py", "-k", "spreads_them"),
    ),
    Mutant(
        "a canary that failed is followed by the rest",
        "pqfs/cli/redriving.py",
        "    if job is None or job.state is not State.COMPLETED:",
        "    if job is None:",
        ("tests/test_dead.py", "-k", "fails_again"),
    ),
    Mutant(
        "an export overwrites a file of somebody else",
        "pqfs/export.py",
        "                if _digest(self._folder / name) != digest:",
        "                if not digest:",
        ("tests/test_dead.py", "-k", "goes_on_where"),
    ),
    Mutant(
        "a replay does not look for what was made anew before",
        "pqfs/replay.py",
        "        if not self._again and (made",
        "        if self._again and (made",
        ("tests/test_lineage.py", "-k", "passes_over"),
    ),
    Mutant(
        "what a job is made of is forgotten",
        "pqfs/index/__init__.py",
        '    found = (options or {}).get("origin")',
        '    found = (options or {}).get("nothing")',
        ("tests/test_lineage.py", "-k", "name_each_other"),
    ),
    Mutant(
        "the event of a new job is not in its commit",
        "pqfs/jobqueue.py",
        "            self.index.note(_carried_out(acts, twins), now)\n",
        "",
        ("tests/test_lineage.py", "-k", "name_each_other"),
    ),
    Mutant(
        "who makes room on a full disk is refused for lack of room",
        "pqfs/ground.py",
        "            if not self.give_up_ballast():\n                raise\n            return act()\n",
        "            raise\n",
        ("tests/test_steering.py", "-k", "can_make_room"),
    ),
    Mutant(
        "what a filter leaves alone is not told",
        "pqfs/cli/bulk.py",
        "        say_left(wanted)\n",
        "        pass\n",
        ("tests/test_steering.py", "-k", "left_alone_is_told"),
    ),
)
