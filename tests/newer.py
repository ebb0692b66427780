"""A newer pqfs: this one with one migration more. `python -m tests.newer COMMAND …` is its command line."""

from __future__ import annotations

from collections.abc import Mapping
from unittest.mock import patch

from pqfs.index import catalogue

_known = catalogue.migrations


def migrations(engine: str, tokens: Mapping[str, str]) -> list[tuple[int, str]]:
    """The migrations that it knows."""
    known = _known(engine, tokens)
    return [*known, (known[-1][0] + 1, "CREATE TABLE later (x INTEGER)")]


if __name__ == "__main__":
    from pqfs.cli import main

    with patch.object(catalogue, "migrations", migrations):
        main()
