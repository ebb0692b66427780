"""The manifest `<set>.manifest.json`: which files of the inbox belong together, and what is asked of their job.

Read with the suspicion of a sidecar: at most 256 KiB, at most 1000 members, each a plain name of a file that lies
beside the manifest; what would lead elsewhere, or is never taken, is refused before anything is looked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any

from pqfs import sidecar
from pqfs.inbox import says_not_yet
from pqfs.sidecar import Digest, Wishes
from pqfs.values import Section, Then

MANIFEST = b".manifest.json"
DONE = b".done"
MOST = 1000  # members of a set
_LIMIT = 256 * 1024
_LONGEST = 255  # bytes of a name
# For its JSON Schema: no path, nothing hidden, no control characters, and no name that says "not yet".
_PLAIN = (
    r"^(?!.*\.(tmp|temp|part|partial|crdownload|download|filepart|swp|!sync|manifest\.json)$)(?!.*~$)"
    r"(?!(Thumbs\.db|desktop\.ini)$)[^./~\u0000-\u001f][^/\u0000-\u001f]*$"
)
# A name is bounded in bytes, a schema counts characters.
_FITTING = [{"pattern": "^[ -~]*$", "maxLength": _LONGEST}, {"maxLength": _LONGEST // 4}]


def _plain(name: str) -> str:
    if not name or "/" in name or "\0" in name or len(os.fsencode(name)) > _LONGEST:
        raise ValueError("String should be the plain name of a file beside the manifest")
    if says_not_yet(name) or name.endswith(MANIFEST.decode()):
        raise ValueError("String should not be a name that is never taken, or that of a manifest")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(Section):
    """One file of a set, and its SHA-256 where its producer tells it."""

    name: Annotated[str, Then(_plain, schema={"pattern": _PLAIN, "anyOf": _FITTING})]
    sha256: Digest | None = None


def _distinct(members: tuple[Member, ...]) -> tuple[Member, ...]:
    if not 1 <= len(members) <= MOST:
        raise ValueError(f"Array should have 1 to {MOST} members")
    if len({member.name for member in members}) != len(members):
        raise ValueError("Array should name no member twice")
    return members


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Wishes):
    """What a set consists of, and what is asked of the job that it becomes."""

    members: Annotated[
        tuple[Member, ...], Then(_distinct, schema={"minItems": 1, "maxItems": MOST, "uniqueItems": True})
    ]


def read(descriptor: int) -> Manifest:
    """Read an open manifest.

    Raises:
        Rejected: too large, not JSON, a key twice, or not what the schema says; with the reason in words.
    """
    return sidecar.read_as(Manifest, descriptor, _LIMIT, "the manifest")


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest. What it accepts is accepted, but for one name in two members."""
    return sidecar.schema(Manifest)
