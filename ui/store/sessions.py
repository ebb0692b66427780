"""Who is signed in: in the memory of this process, so that a new start of the console signs everybody out.

A browser keeps a random token in a cookie that no script can read, and so comes back after a reload. Of the token
only a hash lies here. It is handed out once, by HTTP, for a ticket that the page has and that is good for a minute.

`now` is an argument: seconds of a clock that is never set.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, replace

from ui.store.access import Pass
from ui.store.once import Once

LONGEST = 12 * 3600.0  # seconds, however busy somebody is
_GOOD_FOR = 60.0  # seconds, of a ticket


@dataclass(frozen=True, slots=True)
class Session:
    """Since when somebody is signed in, and when he last did something. `is_over`: he has signed out."""

    known: Pass
    began: float
    seen: float
    is_over: bool = False

    def has_lapsed(self, now: float, idle: float) -> bool:
        """Whether it has lasted too long, or nothing was done for so many seconds."""
        return now - self.began > LONGEST or now - self.seen > idle


class Sessions:
    """All of them, by keys that never leave this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Session] = {}
        self._tickets: dict[str, tuple[str, float]] = {}
        self._tokens: dict[str, str] = {}

    def begin(self, known: Pass, now: float) -> str:
        """Somebody has signed in; the key of his session."""
        key = secrets.token_urlsafe(32)
        with self._lock:
            self._forget_old(now)
            self._held[key] = Session(known, now, now)
        return key

    def vouched(self, key: str, known: Pass, began: float, now: float, idle: float) -> bool:
        """Somebody comes whom a provider vouched for at an instant; whether that still counts.

        It is seen for the first time soon after that instant; later it is a copy of what has been in use elsewhere,
        or before this process.
        """
        with self._lock:
            self._forget_old(now)
            if key not in self._held and now - began <= idle:
                self._held[key] = Session(known, began, now)
            found = self._held.get(key)
            return found is not None and not found.is_over

    def find(self, key: str) -> Session | None:
        """A session that goes on; None when it is over."""
        with self._lock:
            found = self._held.get(key)
            return None if found is None or found.is_over else found

    def touch(self, key: str, now: float) -> None:
        """Its owner has done something."""
        with self._lock:
            if found := self._held.get(key):
                self._held[key] = replace(found, seen=now)

    def end(self, key: str) -> None:
        """It is over, in all windows; it is remembered as such until it would have been anyway."""
        with self._lock:
            if found := self._held.get(key):
                self._held[key] = replace(found, is_over=True)
            self._tokens = {token: each for token, each in self._tokens.items() if each != key}
            self._tickets = {ticket: each for ticket, each in self._tickets.items() if each[0] != key}

    # ---------------------------------------------------------------- the browser's part

    def ticket(self, key: str, now: float) -> str:
        """A ticket for a token of this session."""
        ticket = secrets.token_urlsafe(32)
        with self._lock:
            self._tickets[ticket] = (key, now)
        return ticket

    def is_open(self, ticket: str, now: float) -> bool:
        """Whether nobody has come with this ticket yet, and it is good still."""
        with self._lock:
            return ticket in self._tickets and now - self._tickets[ticket][1] <= _GOOD_FOR

    def redeem(self, ticket: str, now: float) -> str | None:
        """The token for a ticket, once; None for one that is not good."""
        with self._lock:
            key, since = self._tickets.pop(ticket, ("", 0.0))
            if not key or now - since > _GOOD_FOR:
                return None
            token = secrets.token_urlsafe(32)
            self._tokens[_hash(token)] = key
            return token

    def of_token(self, token: str) -> str | None:
        """The key of the session that a token is of."""
        with self._lock:
            return self._tokens.get(_hash(token))

    def _forget_old(self, now: float) -> None:
        self._held = {key: each for key, each in self._held.items() if now - each.began <= 2 * LONGEST}
        self._tokens = {token: key for token, key in self._tokens.items() if key in self._held}
        self._tickets = {ticket: each for ticket, each in self._tickets.items() if now - each[1] <= _GOOD_FOR}


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()


@Once
def sessions() -> Sessions:
    """Those of this process."""
    return Sessions()
