"""Every kind of object in every window, and generated names through the whole spool.

python -m tests.hostile [--names 50000] [--seed 1] [--json] [--record FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.hostile.passage import passage
from tests.hostile.races import races, run
from tests.scoreboard import Score, add_arguments, report


def _score_races(root: Path) -> Score:
    began, all_races = time.monotonic(), races()
    wrong = [said for number, race in enumerate(all_races) for said in run(race, root / str(number))]
    details = {"kinds": len({(family, kind.what) for family, kind, _ in all_races})}
    spent, command = time.monotonic() - began, "python -m tests.hostile"
    return Score("hostile kinds", len(all_races), "races", tuple(wrong), spent, command, None, details)


def _score_names(root: Path, seed: int, count: int) -> Score:
    began = time.monotonic()
    wrong = tuple(passage(root, seed, count))
    command = f"python -m tests.hostile --names {count} --seed {seed}"
    return Score("hostile names", count, "names", wrong, time.monotonic() - began, command, seed)


def main() -> int:
    parser = argparse.ArgumentParser(description="A hostile inbox.")
    parser.add_argument("--names", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    add_arguments(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pqfs-hostile-") as place:
        root = Path(place)
        scores = [_score_races(root / "races"), _score_names(root / "names", arguments.seed, arguments.names)]
    return max(report(score, arguments) for score in scores)


if __name__ == "__main__":
    sys.exit(main())
