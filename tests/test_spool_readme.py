"""spool/README.md is a contract: its tables say what the code says, or a test says where they part."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs import naming
from pqfs.index import catalogue
from pqfs.model import PLACES, TRANSITIONS, Place, State
from pqfs.naming import Claimed, Parked, Scratch
from pqfs.places import DIRECTORIES

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "spool" / "README.md").read_text("utf-8")
JOB = "01a3185c-5000-7001-89d8-d555156386ad"


def section(title: str) -> str:
    """The text below a heading, up to the next one of its level."""
    parts = re.split(r"^## +(?:\d+\. )?(.+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title]


def table(text: str) -> list[list[str]]:
    """The cells of the first table of a text, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in rows[1:] if not set("".join(row)) <= set("-|: ")]


def code(cell: str) -> list[str]:
    """What stands in back quotes."""
    return re.findall(r"`([^`]+)`", cell)


def test_it_says_who_decides_in_the_words_of_the_code() -> None:
    sentence = (
        "The spool decides that a job exists. The index decides who holds it and what became of it. When they "
        "disagree, recovery moves the file to where the index says, and registers a file that the index has never "
        "seen."
    )
    source = (ROOT / "pqfs" / "jobqueue.py").read_text("utf-8")

    assert sentence in " ".join(TEXT.replace("\n> ", "\n").split())
    assert sentence in " ".join(source.split())


def test_every_directory_stands_in_it_and_no_other() -> None:
    listed = [code(row[0])[0].strip("/").split("/")[0] for row in table(section("The tree"))]

    assert list(dict.fromkeys(listed)) == [*DIRECTORIES, "index.db"]


def test_every_state_stands_in_it_with_its_places() -> None:
    rows = {code(row[0])[0]: row for row in table(section("States"))}

    assert list(rows) == list(State)
    for state, row in rows.items():
        assert {Place(name) for name in code(row[1])} == set(PLACES[State(state)]), state


def test_every_transition_stands_in_it_and_no_other() -> None:
    listed = set()
    for row in table(section("Moves between states")):
        (before,), (verb,) = code(row[0]), code(row[1])
        listed |= {(before, verb, after) for after in code(row[2])}

    assert listed == {(str(s), str(v), str(to)) for (s, v), after in TRANSITIONS.items() for to in after}


def test_the_places_are_those_that_the_schema_allows() -> None:
    (_, schema), *_ = catalogue.migrations("sqlite", _TOKENS)
    for place in Place:
        assert f"'{place}'" in schema or place is Place.READY


_TOKENS = dict.fromkeys(("blob", "real", "bigint", "serial", "strict", "strict_without_rowid"), "")


def test_every_example_of_a_name_is_one_by_the_grammar() -> None:
    examples = {row[0]: code(row[2])[0] for row in table(section("Names"))}

    assert naming.parse_parked(examples["parked"]) == Parked(JOB, "default", "report.txt")
    assert naming.parse_claimed(examples["claimed"]) == Claimed(JOB, 2, "default", "report.txt")
    assert naming.parse_scratch(examples["scratch"]) == Scratch(JOB, 2, "out")
    assert naming.parse_meta(examples["meta"]) == JOB
    assert naming.parse_note(examples["note"]) == "mail"
    assert naming.parse_schedule(examples["note of a schedule"]) == "nightly"
    assert naming.output_id12(examples["output"]) == naming.id12(JOB)
    assert naming.output_name(1_795_322_486.123456, JOB, b"report.txt") == examples["output"]
    assert examples["rejected"] == f"{naming.id12(JOB)}.report.txt"


def test_the_limit_of_a_name_is_the_one_of_the_code() -> None:
    assert f"{naming.NAME_BYTES} bytes" in section("Names")


# -------------------------------------------------------------------- crashes


def commented() -> Iterator[str]:
    """`module.function` of each *Crash here* in the code, as often as it stands there."""
    for path in sorted((ROOT / "pqfs").rglob("*.py")):
        text = path.read_text("utf-8")
        if "Crash here" not in text:
            continue
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        for number, line in enumerate(text.splitlines(), 1):
            # `jobqueue` mentions the label itself, in back quotes, where it explains it.
            if "Crash here" in line and "`# Crash here`" not in line:
                above = max((f for f in functions if f.lineno <= number), key=lambda f: f.lineno)
                yield f"{path.stem}.{above.name}"


def test_every_crash_of_the_code_stands_in_the_table_and_the_other_way_round() -> None:
    listed = Counter(code(row[0])[0] for row in table(section("After a crash")))

    assert listed == Counter(commented())


@pytest.mark.parametrize("protocol", ["Ingest", "Submit", "Claim", "Run", "Finish", "Purge", "Recovery", "Rebuild"])
def test_every_protocol_is_a_list_of_numbered_effects(protocol: str) -> None:
    protocols = re.split(r"^### (.+)$", section("Protocols"), flags=re.MULTILINE)
    text = dict(zip(protocols[1::2], protocols[2::2], strict=True))[protocol]
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", text, flags=re.MULTILINE)]

    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 2
