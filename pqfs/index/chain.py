"""The chain of the audit: each event's hash covers the event and the hash before it.

So an event can not be changed, removed, added or moved without every later hash being wrong. There is no key in it:
whoever may write the index can make a whole chain anew. Against that a hash helps that was written down elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FIELDS = ("id", "at", "actor", "verb", "job", "queue", "reason", "before", "after")


def canonical(event: Mapping[str, Any]) -> str:
    """An event as one line of text, the same on every machine."""
    values = [event[name] for name in FIELDS]
    values[1] = float(values[1])
    return json.dumps(values, ensure_ascii=True, separators=(",", ":"))


def link(before: str, event: Mapping[str, Any]) -> str:
    """The hash of an event that follows the one with the hash `before`; the first follows an empty one."""
    return hashlib.sha256(f"{before}\n{canonical(event)}".encode()).hexdigest()
