"""Takes every promise out of the code, one at a time, and asks the tests that guard it whether they notice.

    python -m tests.mutants [--only WORDS] [--jobs 2] [--json] [--record FILE]

A test that can not fail proves nothing. Each mutant names the tests that must fail with it; those pass without it.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import scoreboard
from tests.mutants.table import MUTANTS
from tests.mutants.workshop import Mutant, Trial, Workshop


def trials(mutants: Sequence[Mutant], jobs: int) -> Iterator[Trial]:
    """Try the mutants, `jobs` at a time, each in a workshop that nobody else uses meanwhile."""
    with tempfile.TemporaryDirectory(prefix="pqfs-mutants-") as scratch, ThreadPoolExecutor(jobs) as pool:
        free: queue.SimpleQueue[Workshop] = queue.SimpleQueue()
        for number in range(jobs):
            free.put(Workshop(Path(scratch) / f"{number}"))

        def try_out(mutant: Mutant) -> Trial:
            workshop = free.get()
            try:
                return workshop.try_out(mutant)
            finally:
                free.put(workshop)

        yield from pool.map(try_out, mutants)


def unsound(mutants: Sequence[Mutant]) -> list[str]:
    """Layers that fail, or select nothing, where nothing was taken out: what they say of mutants means nothing."""
    with tempfile.TemporaryDirectory(prefix="pqfs-mutants-") as scratch:
        workshop = Workshop(Path(scratch) / "sound")
        ran = ((layer, workshop.run(layer)) for layer in sorted({mutant.layer for mutant in mutants}))
        return [f"without a mutant: {' '.join(layer)}: {said}" for layer, (code, said) in ran if code != 0]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description="Is every promise guarded by a test?"
    )
    parser.add_argument("--only", default="", help="mutants whose name contains this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sound", action="store_true", help="run every layer without a mutant first")
    scoreboard.add_arguments(parser)
    arguments = parser.parse_args()
    began = time.monotonic()
    chosen = [mutant for mutant in MUTANTS if arguments.only in mutant.name]
    violations = unsound(chosen) if arguments.sound else []
    for trial in trials(chosen, arguments.jobs):
        print(f"{'caught' if trial.is_caught else 'SURVIVED':<9} {trial.mutant.name}", file=sys.stderr)
        if not trial.is_caught:
            violations.append(f"survived {' '.join(trial.mutant.layer)}: {trial.mutant.name}: {trial.said}")
    score = scoreboard.Score(
        "mutants", len(chosen), "promises taken out", tuple(violations), time.monotonic() - began,
        "python -m tests.mutants --sound",
    )  # fmt: skip
    return scoreboard.report(score, arguments)


if __name__ == "__main__":
    sys.exit(main())
