"""W3C trace context: where in a chain of work across systems a job belongs.

It comes with a job as `traceparent` (and `tracestate`) of its metadata, whoever brings it, and goes on to handlers
and into log lines as it came. pqfs makes no spans and sends nothing anywhere.
Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PARENT, STATE = "traceparent", "tracestate"
_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-[\x20-\x7e]*)?"
)
_STATE = re.compile(r"[\x20-\x7e\t]{1,512}")
_LONGEST = 256


def check_parent(text: Any) -> str:
    """Return a valid traceparent unchanged.

    Raises:
        ValueError: why it is none, in words.
    """
    found = _PARENT.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST else None
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        raise ValueError("a traceparent is written 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower case")
    if not found["trace"].strip("0") or not found["span"].strip("0"):
        raise ValueError("a traceparent of nothing but zeros names no trace")
    return str(text)


def check(metadata: Mapping[str, Any]) -> None:
    """Refuse metadata whose trace context is none.

    Raises:
        ValueError: why, in words.
    """
    if PARENT in metadata:
        check_parent(metadata[PARENT])
    if STATE in metadata and not (isinstance(metadata[STATE], str) and _STATE.fullmatch(metadata[STATE])):
        raise ValueError("a tracestate has 1 to 512 characters of ASCII")


def parent_of(metadata: Any) -> str | None:
    """The traceparent of metadata; None when there is none that is valid."""
    if not isinstance(metadata, Mapping) or PARENT not in metadata:
        return None
    try:
        return check_parent(metadata[PARENT])
    except ValueError:
        return None


def trace_of(options: Mapping[str, Any] | None) -> str | None:
    """The trace that a job with these options belongs to, for its log lines: 32 hex digits."""
    parent = parent_of(options.get("metadata")) if options else None
    return parent.split("-")[1] if parent else None


def variables(metadata: Mapping[str, Any]) -> dict[str, str]:
    """The environment in which programs look for their trace context."""
    parent, state = parent_of(metadata), metadata.get(STATE)
    if parent is None:
        return {}
    found = {"TRACEPARENT": parent}
    if isinstance(state, str) and _STATE.fullmatch(state):
        found["TRACESTATE"] = state
    return found


def heard(metadata: Mapping[str, Any] | None, headers: Mapping[str, str]) -> dict[str, Any]:
    """Metadata with the trace context of a request's headers, unless it has one; what is not valid is ignored."""
    found = dict(metadata or {})
    if PARENT not in found and parent_of(headers):
        found[PARENT] = headers[PARENT]
        if _STATE.fullmatch(headers.get(STATE, "")):
            found[STATE] = headers[STATE]
    return found
