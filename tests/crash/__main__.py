"""Everything that is enumerated: every fault at every effect, twice, and every pair of actors in every order.

python -m tests.crash [--every K] [--jobs P] [--only TEXT]

One in K of the double faults and of the crossed interleavings is tried (1: all of them, some minutes).
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.crash.enumeration import run_all
from tests.scoreboard import Score, add_arguments, report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="protocols and duels whose name has this in it")
    add_arguments(parser)
    arguments = parser.parse_args()
    begun = time.monotonic()
    tally = run_all(arguments.every, arguments.jobs, arguments.only)
    score = Score(
        "enumerated crashes", tally.counts.total(), "crashes and interleavings", tuple(tally.broken),
        time.monotonic() - begun, f"python -m tests.crash --every {arguments.every}", None, tally.counts,
    )  # fmt: skip
    return report(score, arguments)


if __name__ == "__main__":
    sys.exit(main())
