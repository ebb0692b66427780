"""What the settings say of handlers: which one runs, what an attempt may use, where a program is confined to.

Placeholders that nobody knows and settings without effect are refused here, before anything starts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from pqfs.durations import Duration

PLACEHOLDERS = ("input", "output", "output_dir")
_BRACES = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")  # {{word}} stands for {word}
_Size = Annotated[ByteSize, Field(gt=0)]


class Section(BaseModel):
    """A part of the settings: unknown names are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitSettings(Section):
    """What an attempt may use; what is not set is not limited.

    For a program they hold for each of its processes. A function and the built-in handler share the runner: theirs
    are set before the attempt and taken back after it, and `nice` does nothing.
    """

    memory: _Size | None = None  # address space; for a function what it takes beyond the interpreter
    cpu: Annotated[Duration, Field(ge=1)] | None = None
    file_size: _Size | None = None
    open_files: Annotated[int, Field(ge=16)] | None = None
    processes: Annotated[int, Field(ge=1)] | None = None  # of the whole user; root is not bound by it
    nice: Annotated[int, Field(ge=0, le=19)] = 0
    files: Annotated[int, Field(ge=1)] = 10_000  # in an output directory, directories counted


class CommandHandler(Section):
    """Run a program: `{input}`, `{output}` and `{output_dir}` in its arguments stand for paths. No shell."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    done: tuple[int, ...] = (0,)
    retry_later: tuple[int, ...] = (75,)  # EX_TEMPFAIL of sysexits.h
    permanent: tuple[int, ...] = (65,)  # EX_DATAERR of sysexits.h
    environment: dict[str, str] = {}
    stdout: Literal["log", "output"] = "log"
    confine: Literal["none", "landlock", "bubblewrap"] = "none"
    read: tuple[Path, ...] = (Path("/"),)
    write: tuple[Path, ...] = ()
    network: bool = False

    @field_validator("command")
    @classmethod
    def _placeholders_are_known(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        for word in _BRACES.findall(" ".join(command)):
            if word not in PLACEHOLDERS:
                known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
                raise ValueError(
                    f"{{{word}}} stands for nothing: there are {known}; braces are written {{{{{word}}}}}"
                )
        return command

    @field_validator("read", "write")
    @classmethod
    def _paths_are_absolute(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        paths = tuple(path.expanduser() for path in paths)
        if relative := [str(path) for path in paths if not path.is_absolute()]:
            raise ValueError(f"{relative[0]} is not an absolute path")
        return paths

    @model_validator(mode="after")
    def _something_confines(self) -> CommandHandler:
        if self.confine == "none" and (given := {"read", "write", "network"} & self.model_fields_set):
            raise ValueError(f"{min(given)} is without effect unless confine is landlock or bubblewrap")
        return self


class PythonHandler(Section):
    """Call `module:function` with a job context; the folder of pqfs.toml is on the import path."""

    python: Annotated[str, Field(pattern=r"^[\w.]+:[\w.]+$")]


def _kind(value: Any) -> str | None:
    """Which form of a handler is meant: so that a mistake is told about that form, not about all of them."""
    if value == "timestamp":
        return "kind:name"
    keys = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, Section) else ()
    return next((f"kind:{key}" for key in ("command", "python") if key in keys), None)


HandlerSpec = Annotated[
    Annotated[Literal["timestamp"], Tag("kind:name")]
    | Annotated[CommandHandler, Tag("kind:command")]
    | Annotated[PythonHandler, Tag("kind:python")],
    Discriminator(
        _kind,
        custom_error_type="handler",
        custom_error_message='a handler is "timestamp", { command = ["program", …] } or { python = "module:name" }',
    ),
]
