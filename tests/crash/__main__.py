"""Everything that is enumerated: every fault at every effect, twice, and every pair of actors in every order.

python -m tests.crash [--every K] [--turn N] [--jobs P] [--only TEXT]

One in K of the crash points, the double faults and the crossed interleavings is tried (1: all of them, some minutes),
those whose turn it is: 0 to K - 1. With `PQFS_TEST_INDEX=postgres` the index is on a server, which is started for
them.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.crash.enumeration import run_all, tasks
from tests.databases import server_if_asked
from tests.scoreboard import Score, add_arguments, report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--turn", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="protocols and duels whose name has this in it")
    add_arguments(parser)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with server_if_asked() as address:
        tally = run_all(tasks(arguments.every, arguments.only, arguments.turn), arguments.jobs, address)
    command = f"python -m tests.crash --every {arguments.every} --turn {arguments.turn}"
    score = Score(
        "enumerated crashes", tally.counts.total(), "crashes and interleavings", tuple(tally.broken),
        time.monotonic() - begun, command, None, tally.counts,
    )  # fmt: skip
    return report(score, arguments)


if __name__ == "__main__":
    sys.exit(main())
