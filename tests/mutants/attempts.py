"""Promises of claim, run and finish, each taken out: one holder, one output, published after the commit."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_JOBQUEUE, _SPOOL, _SQL = "pqfs/jobqueue.py", "pqfs/spool.py", "pqfs/index/statements.sql"
_RUNNER, _HOLDING, _SQLITE = "pqfs/runner.py", "pqfs/holding.py", "pqfs/index/sqlite.py"

MUTANTS = (
    Mutant(
        "outputs are not durable before the commit that makes them known",
        _JOBQUEUE,
        "        self._make_durable([job for job, _ in done])\n",
        "",
        ("tests/crash/test_effects.py", "-k", "outputs_are_synced"),
    ),
    Mutant(
        "outputs are published before the commit",
        _JOBQUEUE,
        "        completions = [self._completion(job, outcome, now) for job, outcome in done]\n",
        "        completions = [self._completion(job, outcome, now) for job, outcome in done]\n"
        "        for each in completions:\n"
        "            self._put_away(each, now)\n",
        ("tests/crash/test_effects.py", "-k", "before_any_effect and finish"),
    ),
    Mutant(
        "what a fenced-off attempt wrote is published",
        _JOBQUEUE,
        "        put_away = [self._put_away(each, now) for each in completions if each.job.id in won]",
        "        put_away = [self._put_away(each, now) for each in completions]",
        ("tests/crash/test_races.py", "-k", "publishes_nothing"),
    ),
    Mutant(
        "a finish whose answer got lost deletes its own output",
        _JOBQUEUE,
        "        if self.is_committed(job):\n            return\n",
        "",
        ("tests/crash/test_races.py", "-k", "answer_got_lost"),
    ),
    Mutant(
        "the fence of a completion does not name the attempt",
        _SQL,
        "                output_size = :output_size, output_sha256 = :output_sha256, error = NULL\n"
        "WHERE id = :id AND attempt = :attempt AND owner = :owner AND state = 'processing'",
        "                output_size = :output_size, output_sha256 = :output_sha256, error = NULL\n"
        "WHERE id = :id AND owner = :owner AND state = 'processing'",
        ("tests/index/test_contract.py", "-k", "lease_changes_nothing"),
    ),
    Mutant(
        "the fence of a completion does not name the owner",
        _SQL,
        "                output_size = :output_size, output_sha256 = :output_sha256, error = NULL\n"
        "WHERE id = :id AND attempt = :attempt AND owner = :owner AND state = 'processing'",
        "                output_size = :output_size, output_sha256 = :output_sha256, error = NULL\n"
        "WHERE id = :id AND attempt = :attempt AND state = 'processing'",
        ("tests/index/test_contract.py", "-k", "lease_changes_nothing"),
    ),
    Mutant(
        "the fence of a completion does not ask for the state",
        _SQL,
        "                output_size = :output_size, output_sha256 = :output_sha256, error = NULL\n"
        "WHERE id = :id AND attempt = :attempt AND owner = :owner AND state = 'processing'",
        "                output_size = :output_size, output_sha256 = :output_sha256, error = NULL\n"
        "WHERE id = :id AND attempt = :attempt AND owner = :owner",
        ("tests/index/test_contract.py", "-k", "only_a_processing_job"),
    ),
    Mutant(
        "the fence of an attempt that failed does not name the attempt",
        _SQL,
        "                crashes = :crashes, losses = :losses, error = :error, updated_at = :now, fingerprint = :fingerprint\n"
        "WHERE id = :id AND attempt = :attempt AND owner = :owner AND state = 'processing'",
        "                crashes = :crashes, losses = :losses, error = :error, updated_at = :now, fingerprint = :fingerprint\n"
        "WHERE id = :id AND owner = :owner AND state = 'processing'",
        ("tests/index/test_contract.py", "-k", "lease_changes_nothing"),
    ),
    Mutant(
        "the fence of an attempt that failed does not name the owner",
        _SQL,
        "                crashes = :crashes, losses = :losses, error = :error, updated_at = :now, fingerprint = :fingerprint\n"
        "WHERE id = :id AND attempt = :attempt AND owner = :owner AND state = 'processing'",
        "                crashes = :crashes, losses = :losses, error = :error, updated_at = :now, fingerprint = :fingerprint\n"
        "WHERE id = :id AND attempt = :attempt AND state = 'processing'",
        ("tests/index/test_contract.py", "-k", "lease_changes_nothing"),
    ),
    Mutant(
        "a claim does not grant a new attempt",
        _SQL,
        "confirmed = 0, attempt = attempt + 1, owner = :owner,",
        "confirmed = 0, owner = :owner,",
        ("tests/index/test_contract.py", "-k", "attempt_only_ever_grows or grants_a_new_attempt"),
    ),
    Mutant(
        "two outputs may have one name",
        "pqfs/index/migrations/0001_first.sql",
        "CREATE UNIQUE INDEX jobs_by_output",
        "CREATE INDEX jobs_by_output",
        ("tests/index/test_contract.py", "-k", "no_two_jobs_publish"),
    ),
    Mutant(
        "who finds the payload started has started it, too",
        _SPOOL,
        "        except FileNotFoundError:\n            return False\n"
        "        except FileExistsError:  # link and unlink instead of a rename",
        "        except FileNotFoundError:\n            return self.exists(target)\n"
        "        except FileExistsError:  # link and unlink instead of a rename",
        ("tests/test_spool.py", "-k", "exactly_one_wins"),
    ),
    Mutant(
        "a rename that says that it did not happen is believed",
        _SPOOL,
        "                if self.exists(target):\n                    return True\n                if self.exists(os.path",
        "                if self.exists(os.path",
        ("tests/crash/test_effects.py", "-k", "says_that_it_did_not"),
    ),
    Mutant(
        "of two names of one output none is removed",
        _SPOOL,
        "        if here and there:  # two names of one inode: an interrupted move\n            self._drop_twin(source, target)\n",
        "",
        ("tests/test_spool.py", "tests/crash/test_races.py", "-k", "two_names or both_names"),
    ),
    Mutant(
        "a file that is moved to where it is is its own twin",
        _SPOOL,
        "        if source == target:  # its own twin: the one name that it has must not be unlinked\n"
        "            return self.exists(target)\n",
        "",
        ("tests/test_spool.py", "-k", "moved_to_where_it_is"),
    ),
    Mutant(
        "another file at the target counts as moved",
        _SPOOL,
        "        if here and there and (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):",
        "        if False:",
        ("tests/test_spool.py", "-k", "never_overwrites"),
    ),
    Mutant(
        "a job is given back without winning its payload first",
        _JOBQUEUE,
        "            if self.spool.start(job):\n                with self.index.transaction():",
        "            if True:\n                with self.index.transaction():",
        ("tests/crash/test_races.py", "-k", "given_back"),
    ),
    Mutant(
        "a cancel that arrives while the attempt fails is forgotten",
        _JOBQUEUE,
        "        if verdict.state is State.PENDING and (found := self.index.job(job.id)) and found.cancel_by:",
        "        if False and (found := self.index.job(job.id)):",
        ("tests/crash/test_races.py", "-k", "cancel_that_arrives"),
    ),
    Mutant(
        "a payload that was steered on between commit and rename stays where the rename left it",
        "pqfs/steering.py",
        "                and changed.state is not State.PROCESSING\n            ):\n                self.spool.settle(changed)",
        "                and changed.state is not State.PROCESSING\n            ):\n                pass",
        ("tests/crash/test_races.py", "-k", "redriven"),
    ),
    Mutant(
        "the runner starts what was given back meanwhile",
        _RUNNER,
        '    if assignment["generation"] != slot.generation:\n        # Race: it was given back',
        "    if False:\n        # Race: it was given back",
        ("tests/test_runner.py", "-k", "given_back_between"),
    ),
    Mutant(
        "what a handler leaves running lives on",
        _RUNNER,
        "                end_descendants()\n                if not payload.is_at(context.input):",
        "                if not payload.is_at(context.input):",
        ("tests/test_runner.py", "-k", "grandchild or background or stranger"),
    ),
    Mutant(
        "an output that somebody still writes is published",
        "pqfs/outputs.py",
        "            if asks_leases:",
        "            if False:",
        ("tests/test_runner.py", "-k", "still_writes"),
    ),
    Mutant(
        "an input that its handler took away stays away",
        _RUNNER,
        "                if not payload.is_at(context.input):",
        "                if False:",
        ("tests/test_containment.py", "-k", "put_back"),
    ),
    Mutant(
        "a program starts without its limits",
        "pqfs/handlers/launch.py",
        "    _limit(asked)  # last",
        "    pass  # last",
        ("tests/test_containment.py", "-k", "program_that_meets_a_limit and head"),
    ),
    Mutant(
        "a confined program has no walls",
        "pqfs/handlers/launch.py",
        '    if "write" in asked:',
        "    if False:",
        ("tests/test_containment.py", "-k", "reads_its_input_writes_its_folder and landlock"),
    ),
    Mutant(
        "a limit that was met is not named",
        "pqfs/failures.py",
        "    met = limits.named_in(said)\n",
        "    met = None\n",
        ("tests/test_containment.py", "-k", "program_that_meets_a_limit"),
    ),
    Mutant(
        "a runner that was stopped is waited for",
        "pqfs/oversight.py",
        "        is_stopped = self._link.is_stopped()\n",
        "        is_stopped = False\n",
        ("tests/process/test_consumer.py", "-k", "attacks and stop"),
    ),
    Mutant(
        "the slot does not say which job runs",
        _RUNNER,
        '    slot.begin(assignment["job"], assignment["attempt"], now)\n',
        "",
        ("tests/test_runner.py", "-k", "slot_names_it or segfault"),
    ),
    Mutant(
        "a dead runner charges whatever waits, not what ran",
        "pqfs/reports.py",
        "        victim = self._holding.outstanding.get(running.job) if running else None\n"
        "        if victim is not None and running is not None and victim.attempt == running.attempt:",
        "        victim = next(reversed(self._holding.outstanding.values()), None)\n"
        "        if victim is not None and running is not None:",
        ("tests/process/test_consumer.py", "-k", "quarantined"),
    ),
    Mutant(
        "after a failed sync the same outputs are tried again",
        _HOLDING,
        "            if not self._jobqueue.is_committed(job):\n                self.discard_scratch(job)\n",
        "            pass\n",
        ("tests/test_holding.py", "-k", "failed_sync"),
    ),
    Mutant(
        "after a failed sync what was committed unheard is removed",
        _HOLDING,
        "            if not self._jobqueue.is_committed(job):\n",
        "            if True:\n",
        ("tests/test_holding.py", "-k", "answer_got_lost"),
    ),
    Mutant(
        "a commit may be lost with the power",
        _SQLITE,
        'connection.pragma("synchronous", "full" if durable else "normal")',
        'connection.pragma("synchronous", "normal")',
        ("tests/index/test_contract.py", "-k", "durable_and_in_wal"),
    ),
    Mutant(
        "a transaction takes the write lock only when it writes",
        _SQLITE,
        'self._connection.execute("BEGIN IMMEDIATE")',
        'self._connection.execute("BEGIN")',
        ("tests/index/test_contract.py", "-k", "claim_at_once or waits_in_vain"),
    ),
    Mutant(
        "an index that was removed while open takes commits",
        _SQLITE,
        "            if _identity(self.path) != self._file:",
        "            if False:",
        ("tests/test_recovery.py", "-k", "removed_while_open"),
    ),
)
