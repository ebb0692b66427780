"""What the settings say of handlers: which one runs, what an attempt may use, where a program is confined to.

Placeholders that nobody knows and settings without effect are refused here, before anything starts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pqfs.durations import Bytes, Duration
from pqfs.values import Section, Then, above, at_least, at_most

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

PLACEHOLDERS = ("input", "output", "output_dir")
_BRACES = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")  # {{word}} stands for {word}
_FUNCTION = re.compile(r"[\w.]+:[\w.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings(Section):
    """What an attempt may use; what is not set is not limited.

    For a program they hold for each of its processes. A function and the built-in handler share the runner: theirs
    are set before the attempt and taken back after it, and `nice` does nothing.
    """

    memory: Annotated[Bytes, above(0)] | None = None  # address space; for a function what it takes beyond Python
    cpu: Annotated[Duration, at_least(1)] | None = None
    file_size: Annotated[Bytes, above(0)] | None = None
    open_files: Annotated[int, at_least(16)] | None = None
    processes: Annotated[int, at_least(1)] | None = None  # of the whole user; root is not bound by it
    nice: Annotated[int, at_least(0), at_most(19)] = 0
    files: Annotated[int, at_least(1)] = 10_000  # in an output directory, directories counted


def _with_known_placeholders(command: tuple[str, ...]) -> tuple[str, ...]:
    if not command:
        raise ValueError("it names no program")
    for word in _BRACES.findall(" ".join(command)):
        if word not in PLACEHOLDERS:
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            raise ValueError(f"{{{word}}} stands for nothing: there are {known}; braces are written {{{{{word}}}}}")
    return command


def _absolute(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    paths = tuple(path.expanduser() for path in paths)
    if relative := [str(path) for path in paths if not path.is_absolute()]:
        raise ValueError(f"{relative[0]} is not an absolute path")
    return paths


def _function(name: str) -> str:
    if not _FUNCTION.fullmatch(name):
        raise ValueError(f"{name!r} is not written module:function")
    return name


_Paths = Annotated[tuple[Path, ...], Then(_absolute)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHandler(Section):
    """Run a program: `{input}`, `{output}` and `{output_dir}` in its arguments stand for paths. No shell."""

    command: Annotated[tuple[str, ...], Then(_with_known_placeholders)]
    done: tuple[int, ...] = (0,)
    retry_later: tuple[int, ...] = (75,)  # EX_TEMPFAIL of sysexits.h
    permanent: tuple[int, ...] = (65,)  # EX_DATAERR of sysexits.h
    environment: dict[str, str] = field(default_factory=dict)
    stdout: Literal["log", "output"] = "log"
    unpack: bool = False  # of a set, `{input}` is the folder of its files, and not their tar file
    confine: Literal["none", "landlock", "bubblewrap"] = "none"
    read: _Paths = (Path("/"),)
    write: _Paths = ()
    network: bool | None = None  # not said is no; said, it must have an effect

    def __post_init__(self) -> None:
        """Refuse walls that nothing puts up."""
        said = {"read": self.read != (Path("/"),), "write": self.write != (), "network": self.network is not None}
        if self.confine == "none" and any(said.values()):
            first = min(name for name, is_said in said.items() if is_said)
            raise ValueError(f"{first} is without effect unless confine is landlock or bubblewrap")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonHandler(Section):
    """Call `module:function` with a job context; the folder of pqfs.toml is on the import path."""

    python: Annotated[str, Then(_function)]


def _kind(value: Any) -> str | None:
    """Which form of a handler is meant: so that a mistake is told about that form, not about all of them."""
    if value == "timestamp":
        return "kind:name"
    for name, kind in (("command", CommandHandler), ("python", PythonHandler)):
        if isinstance(value, kind) or (isinstance(value, dict) and name in value):
            return f"kind:{name}"
    return None


class _ByKind:
    """Which of the forms of a handler a value is to be read as, for pydantic."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        forms = {"kind:name": Literal["timestamp"], "kind:command": CommandHandler, "kind:python": PythonHandler}
        return core_schema.tagged_union_schema(
            {kind: handler.generate_schema(form) for kind, form in forms.items()},
            _kind,
            custom_error_type="handler",
            custom_error_message=(
                'a handler is "timestamp", { command = ["program", …] } or { python = "module:name" }'
            ),
        )


HandlerSpec = Annotated[Literal["timestamp"] | CommandHandler | PythonHandler, _ByKind()]
