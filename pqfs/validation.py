"""Settings read by pydantic: what it accepts, and what is wrong in one sentence that names the key and its origin."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from pqfs.errors import Misconfigured, Refused
from pqfs.values import Section

S = TypeVar("S", bound=Section)
_NOT_KEYS = ("function-", "literal[", "kind:")


def validated(kind: type[S], values: Mapping[str, Any], origins: Mapping[str, str]) -> S:
    """A section of these values.

    Args:
        kind: the section's class.
        values: what was given for it.
        origins: where each came from, by its dotted key.

    Raises:
        Misconfigured: an unknown key, a bad value, a contradiction.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise Misconfigured(_explain(error, kind, origins), "See every setting with: pqfs config show") from error
    except Refused as error:
        raise Misconfigured(error.message, error.hint) from error


def _explain(error: ValidationError, kind: type[Section], origins: Mapping[str, str]) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith(_NOT_KEYS))
    origin = next((origins[known] for known in origins if _concerns(known, key)), None)
    where = f" (from {origin})" if origin else ""
    if first["type"] == "unexpected_keyword_argument":
        return f"There is no setting {key!r}{where}{_meant(first, kind)}"
    what = _as_list(first["input"]) if first["type"] == "tuple_type" else first["msg"].removeprefix("Value error, ")
    return f"Setting {key!r}{where}: {what}." if key else f"{what}."


def _as_list(value: Any) -> str:
    """What a value that is to be a list would be: of a command in one text, its words."""
    words = value.split() if isinstance(value, str) else [value]
    return f"write it as a list of words: {json.dumps(words, ensure_ascii=False, default=str)}"


def _concerns(known: str, key: str) -> bool:
    """Whether a key that was given is the one that an error names, or lies above or below it."""
    return known == key or key.startswith(f"{known}.") or known.startswith(f"{key}.")


def _meant(error: ErrorDetails, kind: type[Section]) -> str:
    """What a name that nobody knows was probably meant to be."""
    *above, name = map(str, error["loc"])
    close = difflib.get_close_matches(name, [field.name for field in fields(_section_at(kind, above))], 1)
    return f"; did you mean {close[0]!r}?" if close else "."


def _section_at(kind: type[Section], path: Sequence[str]) -> type[Section]:
    """The section that an error's path leads to, from that of all settings; names of queues are no step."""
    found = [kind]
    for part in path:
        if part.startswith("kind:"):
            found = [each for each in found if part.removeprefix("kind:") in get_type_hints(each)]
        else:
            found = [*_sections(get_type_hints(found[0]).get(part))] or found
    return found[0]


def _sections(form: Any) -> Iterator[type[Section]]:
    """The sections that an annotation speaks of."""
    if isinstance(form, type) and issubclass(form, Section):
        yield form
    for inner in get_args(form):
        yield from _sections(inner)
