"""`pqfs doctor`: the checks, printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pqfs.checks import Check, Grade
from pqfs.cli import terminal
from pqfs.doctor import examine, of_mount
from pqfs.errors import Refused
from pqfs.footing import footing
from pqfs.naming import harmless
from pqfs.report import to_json

if TYPE_CHECKING:
    from pqfs.settings import Loaded, Settings


def show(loaded: Loaded, as_json: bool) -> int:
    """Every check; the exit code."""
    found = list(examine(loaded))
    if as_json:
        terminal.put_json("doctor", [to_json(check) for check in found])
    else:
        _print(found)
    return _exit_code(found)


def show_mount(directory: Path, settings: Settings, as_json: bool) -> int:
    """What is mounted at a directory; the exit code.

    Raises:
        Refused: nothing can be tried there.
    """
    try:
        found = list(of_mount(directory, settings))
    except OSError as error:
        raise Refused(
            f"{directory} can not be examined: {error.strerror}.", "Name a directory that you may write."
        ) from error
    if as_json:
        chosen = to_json(footing(directory, settings.ingest))
        terminal.put_json("mount", [to_json(check) for check in found], directory=str(directory), **chosen)
    else:
        _print(found)
    return _exit_code(found)


def _print(found: Sequence[Check]) -> None:
    for check in found:
        terminal.put_styled(f"{terminal.coloured(check.grade, 5)} {check.name}: {harmless(check.sentence)}")


def _exit_code(found: Sequence[Check]) -> int:
    return 6 if any(check.grade is Grade.BAD for check in found) else 0
