"""Whom an identity provider may vouch for: e-mail addresses, and all of a domain."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pqfs.values import Read

_ADDRESS = re.compile(r"[!-?A-~]+@[!-?A-~]+")  # ASCII alone: no letter that only looks like another
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")


def parse_addresses(value: object) -> tuple[str, ...]:
    """`ann@example.org` and `*@example.org`, from a list, or from a text with commas between them.

    Raises:
        ValueError: one is neither of these; nothing stands for everybody.
    """
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise ValueError("it is no list of e-mail addresses")
    found = tuple(str(each).strip().lower() for each in given)
    for each in found:
        name, _, domain = each.rpartition("@")
        if not _ADDRESS.fullmatch(each) or not _DOMAIN.fullmatch(domain) or ("*" in name and name != "*"):
            raise ValueError(f"{each!r} is no e-mail address; write ann@example.org, or *@example.org for a domain")
    return found


def admits(admitted: Iterable[str], email: str) -> bool:
    """Whether an address is among them, or its domain. Upper and lower case are one."""
    found = email.lower()
    if not _ADDRESS.fullmatch(found):
        return False
    return any(each in (found, f"*@{found.rpartition('@')[2]}") for each in admitted)


Addresses = Annotated[
    tuple[str, ...], Read(parse_addresses, schema={"type": "array", "items": {"type": "string"}, "default": []})
]
