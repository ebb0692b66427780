"""The words of earlier queues, kept working: each is said in today's words, once, and done.

They are no commands of their own, so that neither `--help` nor completion shows two words for one thing.
"""

from __future__ import annotations

from collections.abc import Sequence

from pqfs.cli import terminal

WORDS: dict[str, tuple[str, ...]] = {
    "list-jobs": ("jobs", "list"),
    "failedjobs": ("jobs", "list", "--state", "failed"),
    "failed-jobs": ("jobs", "list", "--state", "failed"),
    "resubmit": ("jobs", "retry"),
    "mark-failed": ("jobs", "fail"),
    "delete-job-files": ("jobs", "delete", "--files-only"),
    "delete-db-jobs": ("jobs", "delete", "--rows-only"),
    "assign-job": ("jobs", "assign"),
    "consumer-manager": ("consumers", "scale"),
}


def translated(arguments: Sequence[str], options: int) -> list[str]:
    """The command line in today's words; the person is told. `options`: how many arguments are before the command."""
    front, rest = list(arguments[:options]), list(arguments[options:])
    word = rest[0].replace("_", "-").lower() if rest else ""
    if word not in WORDS:
        return [*front, *rest]
    today = [*WORDS[word], *(_counted(rest[1:]) if word == "consumer-manager" else rest[1:])]
    terminal.say(f"{rest[0]} is today: pqfs {' '.join(today)}")
    return [*front, *today]


def _counted(rest: Sequence[str]) -> list[str]:
    """`--count 4` and `--count=4` are today's bare number."""
    return [each.removeprefix("--count=") for each in rest if each != "--count"]
