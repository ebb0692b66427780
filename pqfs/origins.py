"""Settings as people read them: dotted keys, durations as they are written, the origin of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pqfs.durations import format_duration
from pqfs.errors import PqfsError
from pqfs.handlersettings import CommandHandler, PythonHandler
from pqfs.settings import Loaded, PerQueue, without_secret
from pqfs.terms import ORIGIN, wishes_of
from pqfs.values import Section


def rows(loaded: Loaded) -> list[dict[str, str]]:
    """Every setting: `setting`, `value`, `origin`."""
    return [
        {"setting": key, "value": _shown(value), "origin": _origin(key, loaded.origins)}
        for key, value in _flat(replace(loaded.settings, index=without_secret(loaded.settings.index)))
    ]


def in_force(loaded: Loaded) -> Loaded:
    """The settings with what people set of queues over them, as far as there is an index that says so."""
    from pqfs.wiring import open_app

    if not loaded.settings.has_index():
        return loaded
    try:
        app = open_app(loaded, read_only=True)
    except PqfsError:
        return loaded  # what the file says can be shown all the same; `pqfs status` tells of the index
    try:
        wishes = {row.name: found for row in app.terms.look() if (found := wishes_of(row))}
        queues = {**loaded.settings.queues, **{name: app.terms.queue(name) for name in wishes}}
    finally:
        app.close()
    set_ = {f"queues.{name}.{key}": ORIGIN for name, found in wishes.items() for key in found}
    return replace(loaded, settings=replace(loaded.settings, queues=queues), origins={**loaded.origins, **set_})


def rows_of_queue(loaded: Loaded, terms: PerQueue, name: str, wishes: Mapping[str, Any]) -> list[dict[str, str]]:
    """The settings of one queue as they are now; `wishes` are those that people set over pqfs.toml."""
    at = f"queues.{name}."
    return [
        {
            "setting": key.removeprefix(at),
            "value": _shown(value),
            "origin": ORIGIN if key.removeprefix(at) in wishes else _origin(key, loaded.origins),
        }
        for key, value in _flat(terms.queue(name), at)
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
