"""What a layer of the proof says when it is done: one row, the same for every layer, for people and for programs.

    python -m tests.scoreboard RECORD.jsonl …      the rows of several runs as one Markdown table

A layer is a program (`python -m tests.crash`, `python -m tests.power` …). It tries faults, checks `invariants()`
after each, and ends with a `Score`: how many it tried, what broke (each with what is needed to see it again), how
long it took, and on what. Its exit code is 1 when anything broke, and when it tried nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Score:
    """The row of one run. `violations` are sentences, each naming the seed or the point that shows it again."""

    layer: str
    tried: int
    unit: str  # what was tried: `crash states`, `kills` …
    violations: tuple[str, ...]
    seconds: float
    command: str
    seed: int | None = None
    details: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when something was tried and nothing broke."""
        return 0 if self.tried and not self.violations else 1


def machine() -> dict[str, str | int]:
    """Where and on what a run was made."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=_ROOT, capture_output=True, text=True)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip() or "unknown",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cores": os.cpu_count() or 0,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that every layer's program has."""
    parser.add_argument("--json", action="store_true", help="print the row as JSON")
    parser.add_argument("--record", type=Path, help="append the row to this file, one JSON object a line")


def report(score: Score, arguments: argparse.Namespace) -> int:
    """Print the row (and record it where that was asked for); the exit code."""
    row = {**asdict(replace(score, details=dict(score.details))), "violated": len(score.violations), **machine()}
    if arguments.record:
        with arguments.record.open("a") as file:
            print(json.dumps(row), file=file)
    if arguments.json:
        print(json.dumps(row, indent=2))
    else:
        _print(score)
    return score.exit_code


def _print(score: Score) -> None:
    for violation in score.violations[:20]:
        print(f"BROKEN  {violation}")
    details = "".join(f", {name} {value}" for name, value in score.details.items())
    seed = f", seed {score.seed}" if score.seed is not None else ""
    print(
        f"{score.layer}: {score.tried:,} {score.unit}, {len(score.violations)} violations "
        f"in {score.seconds:.0f} s{details}{seed}"
    )


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as Markdown."""
    lines = ["| layer | tried | violations | command | date, commit, kernel |", "|---|---|---|---|---|"]
    lines += (
        f"| {row['layer']} | {row['tried']:,} {row['unit']} | {row['violated']} | `{row['command']}` "
        f"| {row['date']}, {row['commit']}, {row['kernel']} |"
        for row in rows
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="The rows of several runs as one Markdown table.")
    parser.add_argument("records", nargs="+", type=Path)
    rows = [json.loads(line) for path in parser.parse_args().records for line in path.read_text().splitlines()]
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
