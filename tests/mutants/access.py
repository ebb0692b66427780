"""Promises of who gets into the console, and of what is done to many jobs, each taken out."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_PASSWORDS, _FILE, _BROWSER = "pqfs/passwords.py", "pqfs/secretfile.py", "pqfs/stack/browser.py"
_TESTS = "tests/test_passwords.py"

MUTANTS = (
    Mutant(
        "a locked name is let in by the right password",
        _PASSWORDS,
        "            if until := _locked_until(failures, name, now):\n",
        "            if (until := _locked_until(failures, name, now)) and name not in held.get('users', {}):\n",
        (_TESTS, "-k", "even_for_the_right_password"),
    ),
    Mutant(
        "a name that nobody has is not counted, and so told from one that is there",
        _PASSWORDS,
        "                error = _count(held, name, now)\n",
        "                error = _count(held, name if name in held.get('users', {}) else '', now)\n",
        (_TESTS, "-k", "answered_like_one"),
    ),
    Mutant(
        "two passwords that are the same have the same hash",
        _PASSWORDS,
        "        salt = os.urandom(_SALT)\n",
        "        salt = bytes(_SALT)\n",
        (_TESTS, "-k", "tells_no_password"),
    ),
    Mutant(
        "strangers make a known name's failures forgotten",
        _PASSWORDS,
        "if each not in users and each != name]",
        "if each != name]",
        (_TESTS, "-k", "strangers"),
    ),
    Mutant(
        "anybody may read the hashes",
        _FILE,
        "os.O_CLOEXEC, _MODE)",
        "os.O_CLOEXEC, 0o644)",
        (_TESTS, "-k", "its_owners_alone"),
    ),
    Mutant(
        "of two who write at once one loses what it did",
        _FILE,
        "            if not lock.acquire(_PATIENCE):\n",
        "            if not lock:\n",
        (_TESTS, "-k", "lose_nothing"),
    ),
    Mutant(
        "a spoilt file of users is one without users",
        _FILE,
        "        if not isinstance(found, dict):\n            raise Corrupt",
        "        if not isinstance(found, dict):\n            return {}\n            raise Corrupt",
        (_TESTS, "-k", "spoilt"),
    ),
    Mutant(
        "the console listens to other hosts without a password",
        _BROWSER,
        '    if not is_local and not (settings.spool / "users.json").exists():\n',
        "    if False:\n",
        ("tests/test_browser_command.py", "-k", "until_there_is_a_password"),
    ),
)
