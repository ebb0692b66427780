"""The command line, run in a folder with a spool: what tests of commands share."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pqfs import cli
from pqfs.settings import load
from pqfs.wiring import App, open_app


class Shell:
    """A folder with a spool, and `pqfs` run in it: `shell("jobs", "list")` gives the exit code."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.spool = root / "spool"
        self._capture = capture
        self.out = self.err = ""

    def __call__(self, *arguments: object) -> int:
        code = cli.run([str(each) for each in arguments])
        self.out, self.err = self._capture.readouterr()
        return code

    def json(self, *arguments: object) -> dict[str, Any]:
        """Run with --json and read the answer."""
        self(*arguments, "--json")
        found: dict[str, Any] = json.loads(self.out)
        return found

    def items(self, *arguments: object) -> list[dict[str, Any]]:
        """The items of a listing."""
        items: list[dict[str, Any]] = self.json(*arguments)["items"]
        return items

    def process(self, *arguments: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run as a process of its own."""
        command = [sys.executable, "-m", "pqfs", *map(str, arguments)]
        return subprocess.run(command, cwd=self.root, input=given, capture_output=True, timeout=60, check=False)

    def app(self) -> App:
        """The spool, opened."""
        return open_app(load({"spool": str(self.spool)}))

    def submit(self, name: str = "a.txt", *options: str) -> str:
        """Submit a small file; its job's id."""
        (self.root / name).write_text("payload")
        assert self("submit", self.root / name, *options) == 0, self.err
        return self.out.strip()

    def state(self, job: str) -> str:
        """A job's state, as it is shown."""
        state: str = self.items("jobs", "show", job)[0]["state"]
        return state
