"""What the settings say of hooks: who is to hear of what, how long is waited for an answer, how often it is tried.

Hooks stand in pqfs.toml only, since they run code and send words out of the machine: no command and no screen
changes them. The secret that signs is never here: a file or the environment holds it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pqfs.durations import Duration
from pqfs.values import Section, above, at_least, at_most

Heard = Literal["completed", "failed", "dead", "cancelled", "rejected", "health"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class HookSettings(Section):
    """One hook: a `command`, which gets the notice on its standard input, or a `url`, to which it is posted.

    `failed`: an attempt has failed and there will be another; `dead`: the job is a dead letter; `health`: an alarm
    begins or is over (heard by the hooks of [defaults]). `tries` in all, before a notice is put aside.
    """

    on: tuple[Heard, ...]
    command: tuple[str, ...] = ()
    url: str | None = None
    secret_file: str | None = None
    secret_env: str | None = None
    timeout: Annotated[Duration, above(0), at_most(3600)] = 10.0
    tries: Annotated[int, at_least(1), at_most(100)] = 12
    backoff: Annotated[Duration, above(0)] = 5.0
    backoff_cap: Annotated[Duration, above(0)] = 3600.0

    def __post_init__(self) -> None:
        """Refuse what could not be delivered, or would be without effect."""
        if not self.on:
            raise ValueError('a hook must say on what: on = ["completed", …]')
        if bool(self.command) == bool(self.url):
            raise ValueError("a hook is either a command or a url")
        parts = urlsplit(self.url or "http://here")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError(f"url = {self.url!r} is not an address of the form http(s)://host/path")
        if (self.secret_file or self.secret_env) and self.command:
            raise ValueError("a secret is without effect for a command")
        if self.secret_file and self.secret_env:
            raise ValueError("a secret stands in secret_file or in secret_env, not in both")

    @property
    def mark(self) -> str:
        """What this hook is known by in the index: made of where it delivers to, so that it outlives a restart."""
        where = json.dumps([*self.command, self.url])
        return hashlib.sha256(where.encode("utf-8", "backslashreplace")).hexdigest()[:16]

    @property
    def target(self) -> str:
        """Where it delivers to, for people and logs. The path of an address may be a secret of its own."""
        parts = urlsplit(self.url or "")
        return f"{parts.scheme}://{parts.netloc}/…" if self.url else " ".join(self.command)

    def __repr__(self) -> str:
        """What `pqfs config show` prints."""
        return f"{', '.join(self.on)}: {self.target}"
