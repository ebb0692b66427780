"""How settings are shown: dotted keys, durations as they are written, the origin of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pqfs.durations import format_duration
from pqfs.handlersettings import CommandHandler, PythonHandler
from pqfs.settings import Loaded
from pqfs.values import Section


def rows(loaded: Loaded) -> list[dict[str, str]]:
    """Every setting: `setting`, `value`, `origin`."""
    return [
        {"setting": key, "value": _shown(value), "origin": _origin(key, loaded.origins)}
        for key, value in _flat(loaded.settings)
    ]


def _flat(section: Section, at: str = "") -> Iterator[tuple[str, Any]]:
    for each in fields(section):
        yield from _value(f"{at}{each.name}", getattr(section, each.name))


def _value(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, CommandHandler | PythonHandler):
        yield key, value
    elif isinstance(value, Section):
        yield from _flat(value, f"{key}.")
    elif isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _value(f"{key}.{name}", inner)
    else:
        yield key, value


def _shown(value: Any) -> str:
    """As it would be written in pqfs.toml. Every float among the settings is a duration."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return format_duration(value)
        case CommandHandler():
            return " ".join(value.command)
        case PythonHandler():
            return value.python
        case tuple() | list():
            return f"[{', '.join(map(str, value))}]"
        case Mapping():
            return "{}"
        case None:
            return "-"
        case str() | int() | Path():  # a size says itself how it is written
            return str(value)
        case _:
            raise TypeError(f"a setting of type {type(value).__name__} has no form yet")


def _origin(key: str, origins: Mapping[str, str]) -> str:
    if key in origins:
        return origins[key]
    first, _, rest = key.partition(".")
    inherited = f"defaults.{rest.partition('.')[2]}" if first == "queues" else ""
    return origins.get(inherited, "default")
