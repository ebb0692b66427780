"""Who may use the REST API: names, roles and hashes of keys, in the spool's keys.json.

A key is shown once, when it is made. It is 256 bits of chance, so a plain SHA-256 keeps it as well as a slow hash.

`now` is an argument: Unix seconds.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pqfs.errors import Refused
from pqfs.secretfile import SecretFile

_PREFIX = "pqfs_"
_SECRET = 32  # bytes
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")


class Role(StrEnum):
    """What a key is good for. An operator may do what all others may, and act on jobs."""

    VIEWER = "viewer"
    PRODUCER = "producer"
    CONSUMER = "consumer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Key:
    """A key, as far as anybody may know of it. `since`: when it was made."""

    name: str
    roles: frozenset[Role]
    since: float

    def may(self, role: Role) -> bool:
        """Whether it is good for this."""
        return role in self.roles or Role.OPERATOR in self.roles


class Keys:
    """The keys of one spool. Read again when the file has been replaced."""

    def __init__(self, spool: Path) -> None:
        self._file = SecretFile(spool, "keys")
        self._mark: tuple[int, int] | None = None
        self._held: list[tuple[bytes, Key]] = []

    def all(self) -> list[Key]:
        """Every key, by name."""
        return [key for _, key in self._read()]

    def add(self, name: str, roles: Sequence[Role], now: float) -> str:
        """Make a key; it is told now and never again.

        Raises:
            Refused: the name can not be, or is taken; or it would be good for nothing.
        """
        if not _NAME.fullmatch(name):
            raise Refused(f"{name!r} can not name a key.", "A name is 1 to 32 of a-z, 0-9, '.', '-' and '_'.")
        if not roles:
            raise Refused("A key without a role is good for nothing.", f"Roles: {', '.join(Role)}.")
        secret = _PREFIX + base64.urlsafe_b64encode(os.urandom(_SECRET)).decode().rstrip("=")
        with self._file.changing() as held:
            keys = held.setdefault("keys", {})
            if name in keys:
                raise Refused(f"There is a key {name} already.", f"Revoke it first: pqfs keys revoke {name}")
            keys[name] = {"roles": sorted(set(roles)), "since": now, "sha256": _digest(secret).hex()}
        return secret

    def revoke(self, name: str) -> None:
        """Let nobody in by this key any more.

        Raises:
            Refused: there is none of this name.
        """
        with self._file.changing() as held:
            if held.get("keys", {}).pop(name, None) is None:
                raise Refused(f"There is no key {name}.", "See: pqfs keys list")

    def holder(self, secret: str) -> Key | None:
        """The key that this is; None when it is none. As quick for one as for the other."""
        digest, found = _digest(secret), None
        for each, key in self._read():
            if hmac.compare_digest(each, digest):
                found = key
        return found

    def _read(self) -> list[tuple[bytes, Key]]:
        mark = self._stamp()
        if mark is None or mark != self._mark:
            held = self._file.read().get("keys", {})
            self._held = [
                (bytes.fromhex(each["sha256"]), Key(name, frozenset(map(Role, each["roles"])), each["since"]))
                for name, each in sorted(held.items())
            ]
            self._mark = mark
        return self._held

    def _stamp(self) -> tuple[int, int] | None:
        """Which file it is: every change puts another in its place."""
        try:
            found = self._file.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
