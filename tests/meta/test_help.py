"""Every command explains itself: a first sentence, a help for each of its options, and an example that parses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from pqfs.cli import app, older


def _walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, each in inner.items():
        yield from _walk(each, (*path, name))


COMMANDS = dict(_walk(get_command(app)))
EXAMPLE = re.compile(r"pqfs (?:(?!   |\n).)*")  # three blanks part one example from the next


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_has_an_example_of_itself(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    if command.hidden:
        return
    epilog = command.epilog or ""

    assert re.match(r"Examples?: ", epilog), epilog
    assert f"pqfs {' '.join(path)}" in epilog


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_options_of_an_example_are_options_of_its_command(path: tuple[str, ...]) -> None:
    for example in EXAMPLE.findall(COMMANDS[path].epilog or ""):
        words = shlex.split(re.split(r" \| | \|\| | && | > ", example)[0])[1:]
        named = next((each for each in COMMANDS if tuple(words[: len(each)]) == each), None)
        assert named, example
        known = {name for each in COMMANDS[named].params for name in (*each.opts, *each.secondary_opts)}
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used - known - {"--spool", "--logs", "--config"} == set(), example


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_says_what_it_does_and_what_each_option_is_for(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]

    assert (command.help or "").split("\n")[0].rstrip().endswith((".", ":", ";"))
    silent = [each.name for each in command.params if not getattr(each, "help", None)]
    assert silent == []


def test_an_older_word_leads_to_a_command_that_there_is() -> None:
    for word, today in older.WORDS.items():
        assert any(today[: len(path)] == path for path in COMMANDS), word
        assert (word,) not in COMMANDS
