"""schemathesis asks everything that the description allows, and much that it does not, and compares the answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pqfs.keys import Keys, Role
from tests.api.serving import Served
from tests.process.stage import Stage

pytestmark = pytest.mark.slow

# A long poll waits as long as it is asked to.
CONFIG = '[parameters]\n"query.wait" = 0\n'


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    stage = Stage(tmp_path, "low_water = 0\n[api]\npatience = '2s'\n")
    secret = Keys(stage.spool).add("operator", [Role.OPERATOR], 0.0)
    served = Served(stage)
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{served.url}/openapi.json",
        "--header", f"Authorization: Bearer {secret}", "--checks", "all", "--seed", "1",
        "--max-examples", os.environ.get("PQFS_TEST_EXAMPLES", "10"),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

        assert done.returncode == 0, done.stdout
        assert re.search(r"(\d+) selected / \1 total", done.stdout)
        assert stage.stop(served.process) == 0
        stage.close()
    finally:
        stage.abandon()
