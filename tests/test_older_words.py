"""Words of earlier queues do what they always did, and name today's; a shell completes what there is in the spool."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pqfs.cli.older import WORDS, translated
from tests.opened import consumer, live
from tests.shell import Shell

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("list-jobs -n 5", "jobs list -n 5"),
        ("list_jobs", "jobs list"),
        ("failedjobs -q mail", "jobs list --state failed -q mail"),
        ("resubmit 019a -y", "jobs retry 019a -y"),
        ("mark-failed 019a", "jobs fail 019a"),
        ("delete-job-files -s completed", "jobs delete --files-only -s completed"),
        ("delete-db-jobs --all", "jobs delete --rows-only --all"),
        ("assign-job 019a consumer-01", "jobs assign 019a consumer-01"),
        ("consumer_manager --count 4", "consumers scale 4"),
        ("consumer_manager --count=4 -q mail", "consumers scale 4 -q mail"),
    ],
)
def test_an_older_word_is_said_in_todays_words(
    said: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    assert translated(["--spool", "x", *said.split()], 2) == ["--spool", "x", *meant.split()]
    assert capsys.readouterr().err == f"{said.split()[0]} is today: pqfs {meant}\n"


@pytest.mark.parametrize("arguments", [[], ["jobs", "list"], ["why", "list-jobs"], ["--spool"]])
def test_todays_words_are_left_as_they_are(arguments: list[str]) -> None:
    assert translated(arguments, 0) == arguments


def test_older_words_work_as_commands_wherever_the_options_stand(shell: Shell) -> None:
    job = shell.submit()

    assert shell("list-jobs", "--json", "--spool", shell.spool) == 0
    assert job in shell.out
    assert "list-jobs is today: pqfs jobs list --json" in shell.err
    assert shell("--spool", shell.spool, "mark-failed", job) == 0
    assert shell("failedjobs", "--ids") == 0
    assert shell.out.strip() == job
    assert shell("resubmit", job) == 0
    assert shell.state(job) == "pending"
    assert shell("consumer_manager", "--count", "3") == 0
    assert shell("list-jbos") == 2


def test_the_readme_tells_every_word() -> None:
    table = README.partition("| `pqfs …` | today, `pqfs …` |")[2].partition("\n\n")[0]
    told = {
        code[0].split()[0].replace("_", "-"): code[1].split()
        for row in table.splitlines()[2:]
        if (code := re.findall(r"`([^`]+)`", row))
    }

    assert {word: list(today) for word, today in WORDS.items() if word != "failed-jobs"} == {
        word: today for word, today in told.items() if word != "monitor"
    }


# -------------------------------------------------------------------- completion


def _offered(shell: Shell, line: str) -> list[str]:
    """What bash is offered at the end of a line."""
    words = line.split(" ")
    environment = {
        **os.environ, "_PQFS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)
    }  # fmt: skip
    command = "import sys; from pqfs.cli import main; sys.argv[0] = 'pqfs'; main()"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=shell.root, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_a_shell_is_offered_commands_queues_consumers_and_jobs(shell: Shell) -> None:
    (shell.root / "pqfs.toml").write_text("[queues.mail]\n[queues.main]\n")
    shell("init")
    job, app = shell.submit(), shell.app()
    lock = live(app, "consumer-07")
    consumer(app, lock.name)

    assert _offered(shell, "pqfs mon") == ["monitor"]
    assert "list-jobs" not in _offered(shell, "pqfs ")
    assert _offered(shell, "pqfs jobs list --queue mai") == ["mail", "main"]
    assert _offered(shell, "pqfs queue pause m") == ["mail", "main"]
    assert _offered(shell, "pqfs consumers stop consumer") == ["consumer-07"]
    assert _offered(shell, f"pqfs jobs assign {job} c") == ["consumer-07"]
    assert _offered(shell, "pqfs jobs show ") == [job]
    assert _offered(shell, f"pqfs jobs cancel {job[:20]}") == [job]
    assert _offered(shell, "pqfs jobs list --state comp") == ["completed"]
    lock.release()
    app.close()


@pytest.mark.parametrize("line", ["pqfs --spool nowhere jobs show ", "pqfs jobs show %", "pqfs jobs list -q x"])
def test_a_shell_is_offered_nothing_and_told_nothing_where_there_is_nothing(shell: Shell, line: str) -> None:
    assert _offered(shell, line) == []
    assert not (shell.root / "nowhere").exists()


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_can_be_shown_for_every_shell(shell: Shell, name: str) -> None:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = f"import sys; from pqfs.cli import main; sys.argv = ['pqfs', '--show-completion', '{name}']; main()"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=shell.root, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "_PQFS_COMPLETE" in done.stdout
