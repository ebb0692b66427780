"""A stub until the real one lands."""

import typer


def register(app: typer.Typer) -> None:
    """Add nothing."""
