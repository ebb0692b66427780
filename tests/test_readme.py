"""The README holds: every command in it runs, every setting in it loads, its handlers do what they say."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs.model import State
from pqfs.naming import is_job_id
from pqfs.settings import Settings, load
from tests.process.stage import Stage, eventually

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_two_commands_are_what_ci_runs() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("python3 -m venv")]

    assert [line.rpartition(" && ")[2] for line in lines] == [".venv/bin/pqfs up", ".venv/bin/pytest -n auto"]
    assert "sed -n 's/^\\(python3 -m venv .*pytest [^&]*\\)$/\\1/p' README.md" in (ROOT / ".ci" / "run").read_text()


def test_every_toml_example_loads(tmp_path: Path) -> None:
    for block in blocks("toml"):
        (tmp_path / "pqfs.toml").write_text(block)
        assert isinstance(load({"config": str(tmp_path / "pqfs.toml")}, {}).settings, Settings)


def test_every_setting_named_in_the_table_exists() -> None:
    table = README.partition("| setting | default |")[2].partition("\n\n")[0]
    names = re.findall(r"`([a-z_]+(?:\.[a-z_]+)?)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:]))

    assert len(names) > 8
    for name in names:
        section, _, key = name.partition(".")
        assert hasattr(Settings(), section), name
        if key:
            assert hasattr(getattr(Settings(), section), key), name


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A spool in the current directory of the commands, with the README in it; its path fits a socket's."""
    with tempfile.TemporaryDirectory(prefix="pqfs-readme-") as root:
        stage = Stage(Path(root), "")
        (stage.root / "README.md").write_text(README)
        yield stage
        _run(stage, "pqfs down")
        stage.close()


def _run(stage: Stage, command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=stage.root,
        env=environment,
        stdin=subprocess.DEVNULL,  # nobody is there to type a password
        capture_output=True,
        text=True,
        timeout=150,  # `pqfs torture` ends in far less, but not on a machine that does much else
        check=False,
    )


# Commands whose answer depends on what there is to find: any of these is an answer, not an error of the command.
_ANSWERS = {
    "pqfs rejected retry": {4}, "pqfs fsck": {0}, "pqfs doctor": {0, 6}, "pqfs jobs retry": {0},
    "pqfs jobs assign": {0, 1, 4}, "pqfs consumers drain": {0, 4}, "pqfs consumers stop": {0, 4},
    "pqfs consumers scale 2 -q mail": {0, 4}, "pqfs simulate-crash": {0},
    "pqfs auth set-password": {2},
}  # fmt: skip


@pytest.mark.slow
def test_every_command_runs_as_written(stage: Stage) -> None:
    assert _run(stage, "pqfs up -d --no-ui").returncode == 0
    lines = [line for block in blocks("sh") for line in block.splitlines() if not line.startswith("python3 -m venv")]

    for line in lines:
        done = _run(stage, line)
        allowed = next((codes for start, codes in _ANSWERS.items() if line.startswith(start)), {0})
        assert done.returncode in allowed, (line, done.returncode, done.stdout, done.stderr)
        if line.startswith("cp "):
            eventually(lambda: list(stage.outbox.iterdir()), "the copied file comes out")

    job = eventually(lambda: stage.jobs(State.COMPLETED), "a job completes")[0].id
    assert is_job_id(job)
    inline = sorted(set(re.findall(r"`(pqfs [a-z][^`]*)`", README)))
    for command in inline:
        if command.split()[1] in ("up", "down", "api", "COMMAND") or command in ("pqfs monitor", "pqfs jobs"):
            continue  # run around all others, or for ever, or not by itself
        filled = command.replace("JOB", job).replace("spool/inbox/FILE", "spool/inbox/README.md")
        filled = filled.replace("FILE", "backup.db").replace(" ID", " 0123456789ab").partition(" > ")[0]
        if filled == "pqfs index rebuild":
            assert _run(stage, "pqfs down").returncode == 0
        done = _run(stage, filled)
        allowed = next((codes for start, codes in _ANSWERS.items() if filled.startswith(start)), {0})
        if filled == "pqfs why spool/inbox/README.md":
            allowed = {0, 4}  # it has been taken, and the answer says so
        assert done.returncode in allowed, (filled, done.returncode, done.stdout, done.stderr)
        if filled == "pqfs index rebuild":
            assert _run(stage, "pqfs up -d --no-ui").returncode == 0


def test_the_handlers_of_the_readme_do_what_they_say(tmp_path: Path) -> None:
    command, python = (
        defaults["handler"]
        for block in blocks("toml")
        if "handler" in (defaults := tomllib.loads(block).get("defaults", {}))
    )
    module = re.search(r"# (\w+)\.py\n(.*)", blocks("python")[0], re.DOTALL)
    assert module and python == {"python": f"{module[1]}:{module[1]}"}
    (tmp_path / f"{module[1]}.py").write_text(module[2])
    gzip_queue = f"[queues.gzip]\nhandler = {{ command = {list(command['command'])!r}, stdout = 'output' }}\n"
    stage = Stage(tmp_path, f'{gzip_queue}[defaults]\nhandler = {{ python = "{python["python"]}" }}\n')
    stage.drop("words.txt", b"many    words\n here")
    stage.drop("gzip/data", b"data" * 1000)
    stage.drop("empty.txt", b"")

    assert stage.start("ingest", None, "--drain").wait(20) == 0
    assert stage.start("consume", None, "--drain").wait(20) == 0

    assert stage.outputs() == [b"many words here"]
    assert gzip.decompress(next((stage.outbox / "gzip").iterdir()).read_bytes()) == b"data" * 1000
    assert [job.error for job in stage.jobs(State.FAILED)] == ["an empty file can not be shrunk"]
    stage.close()
