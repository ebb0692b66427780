"""Parameters that need no reading: a text is what it is, a default is right.

Typer reads every parameter but a flag through pydantic, even one that was not given. The import costs each command
0.1 s, and each process that supervisor starts 12 MB, so it is left to the values that have something to be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def read_lazily(command: Any) -> Any:
    """The same command; it and those below it ask pydantic only about what must be converted or refused.

    Should a later Typer work otherwise, nothing but the time is lost.
    """
    command.get_params = _lazily(command.get_params)
    for inner in getattr(command, "commands", {}).values():
        read_lazily(inner)
    return command


def _lazily(parameters: Callable[[Any], list[Any]]) -> Callable[[Any], list[Any]]:
    """Where a command gets its parameters, `-h` among them."""

    def found(context: Any) -> list[Any]:
        all_of_them = parameters(context)
        for parameter in all_of_them:
            if "process_value" not in vars(parameter):
                parameter.process_value = _reading(parameter, parameter.process_value)
        return all_of_them

    return found


def _reading(parameter: Any, read: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """How a parameter's value is read, where `read` is Typer's way."""
    kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    nothing = () if parameter.multiple or parameter.nargs != 1 else None

    def process(context: Any, value: Any) -> Any:
        if value is None and not parameter.required:
            found = nothing
        elif type(value) is kind and kind in (str, int, float):  # what is typed is text: the others are the default
            found = value
        else:
            return read(context, value)
        return found if parameter.callback is None else parameter.callback(context, parameter, found)

    return process
