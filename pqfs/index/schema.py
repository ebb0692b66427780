"""What every engine does about the schema of its database: bring it up to date, or refuse it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pqfs.errors import SchemaTooNew, Unavailable
from pqfs.index import Engine

Consent = Callable[[Engine, int], None]
"""Asked under the write lock before an older schema (engine, number) is changed: raises while others work with it."""


def alone(_engine: Engine, _found: int) -> None:
    """The consent of who knows that nobody else uses the index."""


def bring_up_to_date(
    engine: Engine, steps: Sequence[tuple[int, str]], apply: Callable[[int, str, int], None], consent: Consent
) -> None:
    """Apply the migrations that are missing, each in one transaction: `apply(number, text, the newest so far)`.

    Raises:
        SchemaTooNew: a newer pqfs wrote it.
    """
    newest, before = steps[-1][0], engine.schema_version()
    if before == newest:
        return
    for number, text in steps:
        with engine.transaction():
            found = engine.schema_version()
            refuse_newer(found, newest)
            if 0 < found < number and found == before:
                consent(engine, found)
            if found < number:
                apply(number, text, found)


def refuse_newer(found: int, newest: int) -> None:
    """Refuse what a newer pqfs wrote. Raises SchemaTooNew."""
    if found > newest:
        raise SchemaTooNew(found, newest)


def refuse_older(found: int, newest: int) -> None:
    """Refuse what is not up to date: who only reads can not bring it there. Raises Unavailable."""
    if found < newest:
        raise Unavailable("The index is being made, or is of an older pqfs.", "Start anew: pqfs down, pqfs up")
