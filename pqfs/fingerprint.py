"""Which errors are one and the same: a text with what differs from case to case taken out, then a short hash.

Numbers, ids, paths, quoted names and instants are taken out; texts that differ in nothing else have one fingerprint.
It is stored with a dead letter, so changing these rules parts old groups from new ones.
"""

from __future__ import annotations

import hashlib
import re

DIGITS = 12  # of a fingerprint, hexadecimal
_LONGEST = 2000  # characters of an error that count

# In this order: what is quoted first, since anything may stand in it.
_RULES = (
    (re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|`[^`\n]*`"), "<name>"),
    (re.compile(r"(?:[\w.~-]+)?(?:/[^\s/:;,()\[\]<>]+)+/?"), "<path>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{6,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)


def normal(error: str) -> str:
    """The text without what differs from case to case."""
    text = error[:_LONGEST]
    for pattern, stands in _RULES:
        text = pattern.sub(stands, text)
    return text.strip().lower()


def fingerprint(error: str | None) -> str:
    """Twelve hexadecimal digits; errors of one kind have the same."""
    return hashlib.sha256(normal(error or "").encode("utf-8", "backslashreplace")).hexdigest()[:DIGITS]
