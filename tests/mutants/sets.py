"""Promises about sets of files, each taken out: all or nothing, once, and nothing dropped that was not taken."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_ASSEMBLY, _DUPLICATES, _FILESET = "pqfs/assembly.py", "pqfs/duplicates.py", "pqfs/fileset.py"

MUTANTS = (
    Mutant(
        "a set is taken although a file of it was touched while it was copied",
        _ASSEMBLY,
        "                os.close(self._open_again(found.there[name], before, directory))\n",
        "                pass\n",
        ("tests/test_sets.py", "-k", "written_while_it_is_copied"),
    ),
    Mutant(
        "what has the name of a file that was taken is removed, whatever it is",
        _ASSEMBLY,
        "        if is_as_taken(found, mark, job):\n",
        "        if True:\n",
        ("tests/test_sets.py", "-k", "exchanged_after"),
    ),
    Mutant(
        "the manifest goes before it is certain that the files can not come back",
        _ASSEMBLY,
        "        self._spool.keep_out(directory)\n",
        "",
        ("tests/crash/test_effects.py", "-k", "manifest_goes_last"),
    ),
    Mutant(
        "a set is known by its key while its job has not failed",
        _DUPLICATES,
        "        owner = self._keys.owner(key) if key else None\n",
        "        owner = None\n",
        ("tests/test_sets.py", "-k", "two_ingesters"),
    ),
    Mutant(
        "what is one more of another loses its meta file before it is certain that it can not come back",
        "pqfs/jobqueue.py",
        '        self.spool.keep_out(f"ready/{arriver}")\n',
        "",
        ("tests/crash/test_effects.py", "-k", "one_more_keeps"),
    ),
    Mutant(
        "a job does not note of which files it was made",
        _DUPLICATES,
        "            if key := _set_key(job):\n                self._keys.take(key, job.id)\n",
        "",
        ("tests/crash/test_effects.py", "-k", "before_any_effect and take_a_set"),
    ),
    Mutant(
        "the very same files are taken for those that were taken before",
        _FILESET,
        "    return found.st_ctime_ns == changed or found.st_ctime_ns / 1e9 <= naming.id_time(job) + _INSTANT\n",
        "    return True\n",
        ("tests/test_sets.py", "-k", "very_same_files"),
    ),
    Mutant(
        "a file is taken into a set whatever its manifest tells of its bytes",
        "pqfs/bundle.py",
        "            source.compare()\n",
        "",
        ("tests/test_sets.py", "-k", "not_what_its_manifest_says"),
    ),
)
