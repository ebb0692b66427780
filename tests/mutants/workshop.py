"""Copies of the project in which one line is wrong, and what a layer of the tests says of them."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_COPIED = ("pqfs", "tests", "ui", "spool", "logs", "pyproject.toml", "README.md", "supervisord.conf")
_TESTS_FAILED = 1  # pytest's exit code when tests ran and some failed: anything else is no catch
_PATIENCE = 300.0  # seconds: a mutant that hangs a layer is caught by it, too
_UNNEEDED = ("-p", "no:anyio", "-p", "no:cacheprovider")
_MARKED = ("-m", "not root and not browser")  # a slow test may be the one that minds


@dataclass(frozen=True, slots=True)
class Mutant:
    """One promise taken out of the code: in `file`, `old` becomes `new`; the tests that `layer` selects must fail."""

    name: str
    file: str
    old: str
    new: str
    layer: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a layer said of a mutant: whether it was caught, and the end of what was printed."""

    mutant: Mutant
    is_caught: bool
    said: str


class Workshop:
    """One copy of the project. A mutant is made in it, tried and unmade; one at a time."""

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self._instants = itertools.count(1)
        for name in _COPIED:
            source, target = _ROOT / name, directory / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.db*", "*.log"))
            else:
                shutil.copy2(source, target)

    def applies(self, mutant: Mutant) -> bool:
        """Whether the mutant's line stands in the code exactly once."""
        return (self._root / mutant.file).read_text().count(mutant.old) == 1

    def try_out(self, mutant: Mutant) -> Trial:
        """Make the mutant, run its layer, unmake it. A mutant that does not apply is not caught."""
        path = self._root / mutant.file
        sound = path.read_text()
        if not self.applies(mutant):
            return Trial(mutant, False, f"its line stands {sound.count(mutant.old)} times in {mutant.file}")
        self._write(path, sound.replace(mutant.old, mutant.new))
        try:
            code, said = self.run(mutant.layer)
        finally:
            self._write(path, sound)
        return Trial(mutant, code == _TESTS_FAILED, said)

    def _write(self, path: Path, text: str) -> None:
        """With an instant of its own: compiled modules are told apart by whole seconds."""
        path.write_text(text)
        instant = 1_000_000_000 + next(self._instants)
        os.utime(path, (instant, instant))

    def run(self, layer: tuple[str, ...]) -> tuple[int, str]:
        """Run tests in this copy until the first fails: pytest's exit code and the end of its words."""
        pytest = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header"]
        command = [*pytest, *_UNNEEDED, *_MARKED, *layer]
        environment = {**os.environ, "PYTHONPATH": str(self._root)}
        try:
            ended = subprocess.run(
                command, cwd=self._root, env=environment, capture_output=True, text=True, timeout=_PATIENCE
            )
        except subprocess.TimeoutExpired:
            return _TESTS_FAILED, f"nothing was heard of it for {_PATIENCE:.0f} seconds"
        return ended.returncode, "\n".join((ended.stdout + ended.stderr).splitlines()[-3:])
