"""Acts on many jobs at a terminal: what is asked, what a no leaves as it was, what a yes does."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from tests.ptys import Seat
from tests.shell import Shell

_ACTS = [
    (("jobs", "hold", "--all"), "Hold 2 jobs (", {"held": 2, "failed": 2, "completed": 2}),
    (("jobs", "priority", "5", "--name", "*"), "Priority 2 jobs (", {"pending": 2, "failed": 2, "completed": 2}),
    (("jobs", "delete", "-s", "completed"), "Delete 2 jobs (", {"pending": 2, "failed": 2}),
    (("dead", "redrive", "--all"), "Redrive 2 jobs (", {"pending": 4, "completed": 2}),
    (("dead", "purge", "--all"), "Purge 2 jobs (", {"pending": 2, "completed": 2}),
    (("replay", "--all"), "Make 2 jobs anew (", {"pending": 4, "failed": 2, "completed": 2}),
]
_BEFORE = {"pending": 2, "failed": 2, "completed": 2}


def states(shell: Shell) -> dict[str, int]:
    return dict(Counter(each["state"] for each in shell.items("jobs", "list")))


@pytest.fixture
def fed(shell: Shell) -> Shell:
    """A spool with two jobs completed, two dead and two that wait."""
    for name in "ab":
        shell.submit(name)
    assert shell.process("consume", "--drain").returncode == 0
    for name in "cd":
        shell.submit(name)
    assert shell("jobs", "fail", "--all", "-y") == 0
    for name in "ef":
        shell.submit(name)
    return shell


@pytest.mark.parametrize(("words", "question", "after"), _ACTS, ids=[" ".join(words) for words, _, _ in _ACTS])
def test_a_person_is_asked_and_a_no_changes_nothing(
    fed: Shell, words: tuple[str, ...], question: str, after: dict[str, int]
) -> None:
    with Seat(fed.root, *words, columns=200) as seat:
        seat.shows(question)
        seat.press("n\n")
        assert seat.ends() == 3
    assert states(fed) == _BEFORE

    with Seat(fed.root, *words, columns=200) as seat:
        seat.shows(question)
        seat.press("y\n")
        assert seat.ends() == 0

    assert states(fed) == after
    assert fed("fsck") == 0


def test_a_question_that_is_interrupted_changes_nothing(fed: Shell) -> None:
    with Seat(fed.root, "dead", "purge", "--all", columns=200) as seat:
        seat.shows("[y/N]:")
        seat.waits()
        seat.process.send_signal(signal.SIGINT)
        assert seat.ends() in (3, 130)

    assert states(fed) == _BEFORE
