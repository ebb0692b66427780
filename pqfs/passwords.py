"""Who may sign in to the console: names and scrypt hashes of their passwords, in the spool's users.json.

There is no password by default. Failures are counted in the same file: neither a reload, nor another browser, nor a
new start of the console gives more tries. A name that nobody has is counted and answered like one that is there, and
costs the same time, so that nobody learns which there are.

`now` is an argument: Unix seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pqfs.clock import iso
from pqfs.errors import PqfsError, Refused
from pqfs.secretfile import SecretFile

SHORTEST = 8  # characters of a password
TRIES = 5  # failures in a row before a name is locked
_LOCKED = 60.0  # seconds for which it is locked then; each further failure doubles it
_LONGEST = 3600.0
_MOST_STRANGERS = 1000  # names nobody has, of which failures are remembered
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_SALT = 16
_HASH = 32


@dataclass(frozen=True, slots=True)
class Cost:
    """What one look at a password costs (scrypt's n, r, p): 32 MiB and a third of a second."""

    n: int = 2**15
    r: int = 8
    p: int = 2


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in. `since`: when the password was set; `locked_until` None: not locked."""

    name: str
    since: float
    failures: int
    locked_until: float | None


class NotAdmitted(PqfsError):
    """The name and the password do not go together, or no more tries are given for now."""

    exit_code = 3


class Users:
    """The users of one spool."""

    def __init__(self, spool: Path, cost: Cost | None = None) -> None:
        self._file = SecretFile(spool, "users")
        self._cost = cost or Cost()

    def all(self, now: float) -> list[User]:
        """Everybody who may sign in, by name."""
        held = self._file.read()
        failures = held.get("failures", {})
        return [
            User(name, found["since"], failures.get(name, {}).get("count", 0), _locked_until(failures, name, now))
            for name, found in sorted(held.get("users", {}).items())
        ]

    def since(self, name: str) -> float | None:
        """When this user's password was set; None when nobody has this name (any more)."""
        found = self._file.read().get("users", {}).get(name)
        return found["since"] if found else None

    def set_password(self, name: str, password: str, now: float) -> bool:
        """Let somebody sign in by this password from now on, and by no earlier one; whether the name is new.

        Raises:
            Refused: the name or the password can not be.
        """
        if not _NAME.fullmatch(name):
            raise Refused(f"{name!r} can not name a user.", "A name is 1 to 32 of a-z, 0-9, '.', '-' and '_'.")
        if len(password) < SHORTEST:
            raise Refused(f"A password has at least {SHORTEST} characters.")
        salt = os.urandom(_SALT)
        found = _hash(password, salt, self._cost)
        written = {"since": now, "salt": salt.hex(), "cost": asdict(self._cost), "hash": found.hex()}
        with self._file.changing() as held:
            users = held.setdefault("users", {})
            is_new = name not in users
            users[name] = written
            held.setdefault("failures", {}).pop(name, None)
        return is_new

    def remove(self, name: str) -> None:
        """Let nobody sign in by this name any more.

        Raises:
            Refused: nobody has it.
        """
        with self._file.changing() as held:
            if held.get("users", {}).pop(name, None) is None:
                raise Refused(f"There is no user {name}.", "See: pqfs auth list")
            held.get("failures", {}).pop(name, None)

    def admit(self, name: str, password: str, now: float) -> None:
        """Let somebody in, or count a failure.

        Raises:
            NotAdmitted: name and password do not go together, or the name is locked: then the password is not
                even looked at.
        """
        error = None
        with self._file.changing() as held:
            failures = held.setdefault("failures", {})
            if until := _locked_until(failures, name, now):
                raise NotAdmitted(f"Too many failures: {name} is locked until {iso(until)}.", "Try again after that.")
            if self._fits(held.get("users", {}).get(name), password):
                failures.pop(name, None)
            else:
                error = _count(held, name, now)
        if error:
            raise error

    def _fits(self, user: dict[str, Any] | None, password: str) -> bool:
        salt = bytes.fromhex(user["salt"]) if user else b"\0" * _SALT
        found = _hash(password, salt, Cost(**user["cost"]) if user else self._cost)
        return hmac.compare_digest(found, bytes.fromhex(user["hash"]) if user else b"\0" * _HASH) and user is not None


def _hash(password: str, salt: bytes, cost: Cost) -> bytes:
    room = 256 * cost.n * cost.r
    secret = password.encode(errors="surrogateescape")
    return hashlib.scrypt(secret, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=room, dklen=_HASH)


def _count(held: dict[str, Any], name: str, now: float) -> NotAdmitted:
    """Count a failure; what to say of it."""
    failures, users = held["failures"], held.get("users", {})
    strangers = [each for each in failures if each not in users and each != name]
    for each in strangers[: max(0, len(strangers) - _MOST_STRANGERS)]:  # the oldest first
        del failures[each]
    count = failures.get(name, {}).get("count", 0) + 1
    failures[name] = {"count": count, "at": now}
    if count < TRIES:
        left = TRIES - count
        return NotAdmitted(f"The name and the password do not go together. Tries left: {left}.")
    until = iso(now + _period(count))
    return NotAdmitted(f"Too many failures: {name} is locked until {until}.", "Try again after that.")


def _period(count: int) -> float:
    """Seconds for which a name is locked after so many failures in a row."""
    return 0.0 if count < TRIES else min(_LONGEST, _LOCKED * 2.0 ** min(count - TRIES, 20))


def _locked_until(failures: dict[str, Any], name: str, now: float) -> float | None:
    """None when it is not locked. A clock that was set back by more than a moment locks nobody."""
    found = failures.get(name)
    if not found or now < found["at"] - _LOCKED:
        return None
    until: float = found["at"] + _period(found["count"])
    return until if until > now else None
