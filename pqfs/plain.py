"""Values read without pydantic, where nothing about them is in doubt.

pydantic's import takes longer than all of a look at a spool. So what is written the usual way is read here, by the
same annotations. This reader never says that something is wrong: whatever it does not know at once is a doubt, and
then pydantic reads everything from the start and has the word. A test holds the two against each other.
"""

from __future__ import annotations

import re
import types
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pqfs.errors import Refused
from pqfs.values import Read, Section, Then

S = TypeVar("S", bound=Section)
_WHOLE = re.compile(r"[0-9]{1,18}")


class Doubt(Exception):
    """Not written the usual way, or wrong: pydantic can tell."""


def read(kind: type[S], values: Any) -> S:
    """A section of these values.

    Raises:
        Doubt: they are not known to be right.
    """
    forms = get_type_hints(kind, include_extras=True) if values else {}
    if not isinstance(values, dict) or not values.keys() <= forms.keys():
        raise Doubt
    try:
        return kind(**{name: _value(forms[name], value) for name, value in values.items()})
    except (TypeError, ValueError, Refused) as error:  # a key is missing, a value out of bounds, a contradiction
        raise Doubt from error


def _value(form: Any, value: Any) -> Any:
    """The value as its annotation asks for it."""
    origin, parts = get_origin(form), get_args(form)
    if origin is Annotated:
        return _marked(parts[0], parts[1:], value)
    if origin in (Union, types.UnionType):
        return _one_of(parts, value)
    if origin is Literal and isinstance(value, str) and value in parts:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_value(parts[0], each) for each in value)
    if origin is dict and isinstance(value, dict):
        return {name: _value(parts[1], each) for name, each in value.items()}
    if form is Any:
        return value
    if isinstance(form, type):
        return _simple(form, value)
    raise Doubt


def _marked(form: Any, marks: tuple[Any, ...], value: Any) -> Any:
    reading = next((mark.function for mark in marks if isinstance(mark, Read)), partial(_value, form))
    value = reading(value)
    for mark in marks:
        if isinstance(mark, Then):
            value = mark.function(value)
    return value


def _one_of(forms: tuple[Any, ...], value: Any) -> Any:
    """The value as the only one of these forms that it has."""
    found = []
    for form in forms:
        try:
            found.append(_value(form, value))
        except (Doubt, ValueError):
            continue
    if len(found) != 1:
        raise Doubt
    return found[0]


def _simple(form: type, value: Any) -> Any:
    if issubclass(form, Section):
        return read(form, value)
    if form is Path and isinstance(value, str):
        return Path(value)
    if form is int and isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)  # as the environment has it
    if type(value) is form:
        return value
    raise Doubt
