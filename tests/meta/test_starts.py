"""What a start costs: nobody loads a library that he does not use. (Which may be loaded where: test_layers.)"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Each brings more with it than a look at a spool takes.
HEAVY = {
    "pydantic", "pydantic_core", "rich", "watchdog", "streamlit", "supervisor", "sqlite3", "asyncio",
    "multiprocessing", "tempfile", "zipfile", "secrets",
}  # fmt: skip


def _loaded_by(code: str, folder: Path) -> set[str]:
    """The libraries that a fresh Python has loaded after the code."""
    code += "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=folder)
    return set(done.stdout.splitlines()[-1].split())


def test_a_runner_starts_without_the_libraries_of_the_others(tmp_path: Path) -> None:
    """It is started anew after every crash, and handlers must find no connection to the index in it."""
    assert _loaded_by("import pqfs.runner", tmp_path) & {*HEAVY, "apsw", "typer"} == set()


@pytest.mark.parametrize(
    ("command", "used"),
    [
        ("status", set[str]()),
        ("ps", set[str]()),
        ("metrics", set[str]()),
        ("consumers list", set[str]()),
        ("why 0", set[str]()),
        ("jobs list", set[str]()),
        ("jobs show 0", set[str]()),
        ("consume --once", set[str]()),
        ("janitor --once", set[str]()),
        ("ingest --once", {"watchdog", "tempfile"}),
    ],
)
def test_a_command_starts_without_what_it_does_not_use(tmp_path: Path, command: str, used: set[str]) -> None:
    (tmp_path / "pqfs.toml").write_text("consumers = 3\n[queues.mail]\ntimeout = '5m'\nmax_size = '1GiB'\n")
    subprocess.run([sys.executable, "-m", "pqfs", "init"], cwd=tmp_path, timeout=60, check=True, capture_output=True)

    loaded = _loaded_by(f"from pqfs.cli import run\nrun({command.split()})", tmp_path)

    assert "pqfs" in loaded
    assert loaded & (HEAVY - used) == set()


def test_a_setting_that_is_wrong_is_still_told_by_pydantic(tmp_path: Path) -> None:
    (tmp_path / "pqfs.toml").write_text("consumers = 'many'\n")

    assert "pydantic" in _loaded_by("from pqfs.cli import run\nassert run(['status']) == 2", tmp_path)
