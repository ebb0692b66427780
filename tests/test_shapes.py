"""The shapes of JSON that the README promises are those that commands print."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.shell import Shell

README = (Path(__file__).parent.parent / "README.md").read_text()
_ROWS = re.findall(r"^\| `(pqfs\.\w+/1)` \| [^|]* \| ([^|]*) \|$", README, re.MULTILINE)
SHAPES = {schema: set(re.findall(r"`(\w+)`", fields)) for schema, fields in _ROWS}

# How each is asked for, where a job that was completed and one that is dead are there.
QUESTIONS = {
    "pqfs.jobs/1": ("jobs", "list"),
    "pqfs.acts/1": ("jobs", "hold", "--all", "--dry-run"),
    "pqfs.queues/1": ("queue", "list"),
    "pqfs.dead/1": ("dead", "list"),
    "pqfs.explain/1": ("explain", "done.txt"),
    "pqfs.replay/1": ("replay", "--all", "--again", "-y"),
    "pqfs.consumers/1": ("consumers", "list"),
    "pqfs.fleet/1": ("consumers", "scale", "2"),
    "pqfs.audit/1": ("audit", "list"),
    "pqfs.schedules/1": ("schedule", "list"),
    "pqfs.verification/1": ("audit", "verify"),
}


@pytest.mark.parametrize("schema", QUESTIONS)
def test_an_item_has_what_the_readme_says(shell: Shell, schema: str) -> None:
    shell.submit("done.txt")
    assert shell.process("consume", "--drain").returncode == 0
    dead = shell.submit("dead.txt")
    assert shell("jobs", "fail", dead) == 0
    shell.submit("waits.txt")
    if schema == "pqfs.schedules/1":
        assert shell("schedule", "add", "nightly", "0 2 * * *", "--text", "go") == 0

    answer = shell.json(*QUESTIONS[schema])

    assert answer["schema"] == schema
    assert answer["items"]
    for item in answer["items"]:
        assert set(item) == SHAPES[schema] | (_MORE & set(item))


@pytest.mark.parametrize(("schema", "question"), [("pqfs.fleet/1", ("consumers", "scale", "3"))])
def test_what_else_an_answer_has_stands_there(shell: Shell, schema: str, question: tuple[str, ...]) -> None:
    told = next(row for row in README.splitlines() if row.startswith(f"| `{schema}` |")).split(" | ")[1]
    also = set(re.findall(r"`(\w+)`", told.partition("also")[2]))

    assert shell.json(*question).keys() == {"schema", "items", *also}


_MORE = {"assigned_to"}  # told of jobs that are assigned to one consumer


def test_the_parts_of_an_explanation_are_told(shell: Shell) -> None:
    job = shell.submit("done.txt")
    assert shell.process("consume", "--drain").returncode == 0
    told = README.partition("In `explain`, `input` has")[2].partition("\n\n")[0]
    inputs, _, rest = told.partition(", `output` has")
    output, _, attempt = rest.partition(", an\nattempt has")

    (item,) = shell.items("explain", job)

    def named(text: str) -> set[str]:
        return set(re.findall(r"`(\w+)`", text))

    def fields(value: Any) -> set[str]:
        return set(value)

    assert fields(item["input"]) == named(inputs)
    assert fields(item["output"]) == named(output)
    assert fields(item["attempts"][0]) == named(attempt)


def test_every_shape_that_is_told_is_asked_for() -> None:
    assert set(QUESTIONS) <= set(SHAPES)
