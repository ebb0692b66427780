"""How values that people write are read, said once, in their annotations: the settings, and what a sidecar asks for.

`Read` stands for a way of writing that is our own (`90s`, `64MiB`), `Then` for what must hold afterwards. Two readers
obey them: pydantic, which explains what is wrong, and `pqfs.plain`, which does without it. pydantic is imported where
it asks for the marks' meaning, and nowhere else here: it takes longer than all of a look at a spool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Values by name: a name that is not among them is an error, and none ever changes."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What a JSON Schema says of the value. It may be narrower than what is accepted, never wider."""

    schema: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(core), **self.schema}


@dataclass(frozen=True, slots=True, eq=False)
class Read(Told):
    """The value is what `function` makes of what was written. It raises ValueError, with a sentence."""

    function: Callable[[Any], Any]

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self.schema)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.function)


@dataclass(frozen=True, slots=True, eq=False)
class Then(Told):
    """The value, once read, is what `function` returns for it. It raises ValueError, with a sentence."""

    function: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.function, handler(source))


def above(limit: float) -> Then:
    """Only values greater than this."""

    def check(value: float) -> float:
        if not value > limit:
            raise ValueError(f"Input should be greater than {limit}")
        return value

    return Then(check, schema={"exclusiveMinimum": limit})


def at_least(limit: float) -> Then:
    """Only values from this on."""

    def check(value: float) -> float:
        if not value >= limit:
            raise ValueError(f"Input should be greater than or equal to {limit}")
        return value

    return Then(check, schema={"minimum": limit})


def at_most(limit: float) -> Then:
    """Only values up to this."""

    def check(value: float) -> float:
        if not value <= limit:
            raise ValueError(f"Input should be less than or equal to {limit}")
        return value

    return Then(check, schema={"maximum": limit})
