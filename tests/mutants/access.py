"""Promises of who gets into the console, and of what is done to many jobs, each taken out."""

from __future__ import annotations

from tests.mutants.workshop import Mutant

_PASSWORDS, _FILE, _BROWSER = "pqfs/passwords.py", "pqfs/secretfile.py", "pqfs/stack/browser.py"
_ADMISSION, _COOKIE, _SESSIONS = "pqfs/admission.py", "ui/cookie.py", "ui/store/sessions.py"
_COOKIES = "tests/ui/test_cookie.py"
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
        '    if not is_local and not (settings.spool / "users.json").exists() and host is None:\n',
        "    if False:\n",
        ("tests/test_browser_command.py", "-k", "until_there_is_a_password"),
    ),
    Mutant(
        "a domain admits all whose address only ends like it",
        _ADMISSION,
        "return any(each in (found, f\"*@{found.rpartition('@')[2]}\") for each in admitted)",
        "return any(found.endswith(each.lstrip('*@')) for each in admitted)",
        ("tests/test_admission.py", "-k", "any_other_address"),
    ),
    Mutant(
        "a page of another site may fetch the cookie",
        _COOKIE,
        'and urlsplit(request.headers.get("origin", "")).netloc == host',
        "and bool(host)",
        (_COOKIES, "-k", "another_site"),
    ),
    Mutant(
        "a ticket is good for several cookies",
        _SESSIONS,
        'self._tickets.pop(ticket, ("", 0.0))',
        'self._tickets.get(ticket, ("", 0.0))',
        (_COOKIES, "-k", "one_cookie"),
    ),
    Mutant(
        "who has signed out comes in again by the same word of his provider",
        _SESSIONS,
        "            return found is not None and not found.is_over\n",
        "            return found is not None\n",
        (_COOKIES, "-k", "good_for_one_session"),
    ),
    Mutant(
        "what a provider said long ago begins a session",
        _SESSIONS,
        "if key not in self._held and now - began <= idle:",
        "if key not in self._held:",
        (_COOKIES, "-k", "comes_late"),
    ),
)
