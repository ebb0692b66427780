"""Promises of ingest and submit, each taken out: complete before taken, durable before acknowledged, taken once."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_JOBQUEUE, _SPOOL, _INBOX = "pqfs/jobqueue.py", "pqfs/spool.py", "pqfs/inbox.py"
_GROUND = "pqfs/ground.py"
_INGESTER, _GHOSTS, _KERNEL = "pqfs/ingester.py", "pqfs/ghosts.py", "pqfs/kernel.py"
_FOOTING = "pqfs/footing.py"

MUTANTS = (
    Mutant(
        "no barrier between the move out of the inbox and the commit",
        _JOBQUEUE,
        "        self.spool.barrier(paths, None if directories is None else [*directories, *ours])\n",
        "",
        ("tests/crash/test_effects.py", "-k", "synced_between"),
    ),
    Mutant(
        "the directory that a payload left is synced after the one that it went to",
        _JOBQUEUE,
        "[*directories, *ours]",
        "[*ours, *directories]",
        ("tests/crash/test_effects.py", "-k", "synced_between"),
    ),
    Mutant(
        "the removal from the inbox is not made durable",
        _JOBQUEUE,
        "[*directories, *ours]",
        "ours",
        ("tests/crash/test_effects.py", "-k", "synced_between"),
    ),
    Mutant(
        "a job is committed before its payload is durable",
        _JOBQUEUE,
        "        self.spool.barrier(paths, None if directories is None else [*directories, *ours])\n"
        "        # Crash here: durable payloads without rows; recovery adopts them.\n"
        "        with self.index.transaction():\n"
        "            made, twins = self.duplicates.sift(arrivals)\n",
        "        with self.index.transaction():\n"
        "            self.index.insert(arrivals, arriver, now)\n"
        "        self.spool.barrier(paths, None if directories is None else [*directories, *ours])\n"
        "        with self.index.transaction():\n"
        "            made, twins = self.duplicates.sift(arrivals)\n",
        ("tests/crash/test_effects.py", "-k", "synced_between"),
    ),
    Mutant(
        "what a path does not tell is written after the payload has moved in",
        _JOBQUEUE,
        "        if meta := self.meta_of(arrival):\n"
        "            self.spool.write_meta(arrival.id, meta)\n"
        "        # Crash here: a meta file without a payload; the janitor removes it after an hour.\n",
        "",
        ("tests/crash/test_effects.py", "-k", "before_any_effect and (sidecar or must_be_cut)"),
    ),
    Mutant(
        "a file is not asked for again after it has left the inbox",
        _JOBQUEUE,
        "        return same and (taken.descriptor is None or not self._is_written(taken.descriptor, None))",
        "        return same",
        ("tests/crash/test_races.py", "-k", "opened_for_writing"),
    ),
    Mutant(
        "what was submitted moves to ready/ before it is durable",
        _JOBQUEUE,
        "        self.spool.barrier([path for _, path in staged], [])\n",
        "",
        ("tests/crash/test_enumeration.py", "-k", "submit_one_file"),
    ),
    Mutant(
        "nobody looks whether the file that moved is the one that was judged",
        _JOBQUEUE,
        "        return same and (taken.descriptor is None or not self._is_written(taken.descriptor, None))",
        "        return taken.descriptor is None or not self._is_written(taken.descriptor, None)",
        ("tests/crash/test_races.py", "-k", "exchanged"),
    ),
    Mutant(
        "an unsettled file is taken for complete at the next look",
        _JOBQUEUE,
        "        if written:\n            return None",
        "        if written:\n            pass",
        ("tests/crash/test_races.py", "tests/test_ingester.py", "-k", "opened"),
    ),
    Mutant(
        "a file is taken whatever checksum its producer has told",
        _INGESTER,
        "            self._jobqueue.verify(self._owner, settled.arrival)",
        "            pass",
        ("tests/test_delivery.py", "-k", "checksum"),
    ),
    Mutant(
        "a file that is adopted is held against no checksum",
        _JOBQUEUE,
        "        self.verify(arriver, arrival)\n",
        "",
        ("tests/test_delivery.py", "-k", "adopted"),
    ),
    Mutant(
        "a file is taken although somebody writes it",
        _INBOX,
        "        if is_written:\n            seen.unchanged_since",
        "        if False:\n            seen.unchanged_since",
        ("tests/test_inbox.py", "-k", "open_for_writing or mapped"),
    ),
    Mutant(
        "a refused lease counts as a granted one",
        _INBOX,
        "        if is_written is None or self.footing.settles:",
        "        if self.footing.settles:",
        ("tests/test_inbox.py", "-k", "leases_are_refused"),
    ),
    Mutant(
        "the leases of a network file system are believed",
        _INBOX,
        "        if is_written is None or self.footing.settles:",
        "        if is_written is None:",
        ("tests/test_inbox.py", "-k", "settle_and_have_no_writer"),
    ),
    Mutant(
        "a shared file system is asked for leases",
        _INBOX,
        "        if not self.footing.asks_leases:",
        "        if False:",
        ("tests/test_inbox.py", "-k", "no_lease_is_asked"),
    ),
    Mutant(
        "an inbox on a shared file system is watched, and not polled",
        _FOOTING,
        '    return "inotify" if kind in LOCAL or kind == "unknown" else "polling"',
        '    return "inotify"',
        ("tests/test_footing.py", "-k", "polled"),
    ),
    Mutant(
        "a change does not start the settle time anew",
        _INBOX,
        "            seen.identity, seen.unchanged_since = identity, now",
        "            seen.identity = identity",
        ("tests/test_inbox.py", "-k", "settle or lies"),
    ),
    Mutant(
        "a file with a foreign hard link is taken",
        _INBOX,
        "        if found.st_nlink != 1:",
        "        if False:",
        ("tests/test_inbox.py", "-k", "hard_link"),
    ),
    Mutant(
        "links are followed when an entry is opened",
        _INBOX,
        "os.O_RDONLY | os.O_NONBLOCK) | os.O_NOFOLLOW | os.O_CLOEXEC",
        "os.O_RDONLY | os.O_NONBLOCK) | os.O_CLOEXEC",
        ("tests/test_inbox.py", "-k", "not_a_regular_file or exchanged"),
    ),
    Mutant(
        "the ghost of an interrupted move is another file",
        _GHOSTS,
        "            if inode in ours:",
        "            if False:",
        ("tests/crash/test_races.py", "-k", "ghost"),
    ),
    Mutant(
        "every second name of a file is a ghost",
        _GHOSTS,
        "            if inode in ours:",
        "            if True:",
        ("tests/test_ingester.py", "-k", "hard_link"),
    ),
    Mutant(
        "what has left the inbox is forgotten when a later file fails",
        _INGESTER,
        "                self._unsettled += [each.arrival for each in taken if each.arrival.id not in known]\n",
        "",
        ("tests/crash/test_races.py", "-k", "not_forgotten"),
    ),
    Mutant(
        "files whose commit failed are forgotten",
        _INGESTER,
        "            self._unsettled += arrivals\n",
        "",
        ("tests/test_ingester.py", "-k", "commit_failed"),
    ),
    Mutant(
        "a rename may overwrite",
        _KERNEL,
        "_RENAME_NOREPLACE = 1",
        "_RENAME_NOREPLACE = 0",
        ("tests/test_spool.py", "-k", "never_overwrites"),
    ),
    Mutant(
        "an acceptance that was denied is not looked for",
        _SPOOL,
        "            if not self._has_moved(inbox_dir, name, os.fsdecode(target)):\n                raise",
        "            raise",
        ("tests/test_spool.py", "-k", "denied"),
    ),
    Mutant(
        "what was removed from the inbox, and denied, stays aside",
        _SPOOL,
        "            if not self._has_moved(inbox_dir, name, aside):",
        "            if True:",
        ("tests/test_spool.py", "-k", "whatever_was_answered"),
    ),
    Mutant(
        "a link that was denied leaves the old name",
        _SPOOL,
        "                self._files.unlink(directory, name)",
        "                pass",
        ("tests/test_spool.py", "-k", "link_that_was_denied"),
    ),
    Mutant(
        "a delivery that was denied counts as failed",
        "pqfs/delivery.py",
        "            if self._has_name(hidden, name):",
        "            if False:",
        ("tests/test_delivery.py", "-k", "happened_and_was_denied"),
    ),
    Mutant(
        "who has a stale handle goes on for ever",
        "pqfs/runtime.py",
        "        if isinstance(known, IndexBusy | Stale):",
        "        if isinstance(known, IndexBusy):",
        ("tests/test_runtime.py", "-k", "stale"),
    ),
    Mutant(
        "the reason of a refusal is written after the object has moved",
        _SPOOL,
        "        self.explain_refusal(number, reason)\n",
        "",
        ("tests/test_spool.py", "-k", "refused or reason"),
    ),
    Mutant(
        "the arrival of a payload is durable only by chance: a failed sync is swallowed",
        _GROUND,
        "            self._files.syncfs(self._fd)\n        except SyncFailed as error:\n            raise",
        "            self._files.syncfs(self._fd)\n        except SyncFailed as error:\n            return\n            raise",
        ("tests/test_spool.py", "-k", "failed_sync"),
    ),
    Mutant(
        "what a meta file says is not durable before its payload is",
        _GROUND,
        "            self._sync([scratch], [])\n        self._replace(os.fsencode(scratch)",
        "            pass\n        self._replace(os.fsencode(scratch)",
        ("tests/test_spool.py", "-k", "meta_is_durable"),
    ),
)
