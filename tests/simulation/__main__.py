"""The simulation as a program.

python -m tests.simulation [--histories 5000] [--seed 1] [--jobs P]     many histories, one row at the end
python -m tests.simulation --history SEED                               one of them again, with its trace

With `PQFS_TEST_INDEX=postgres` their indexes are on a server, which is started for them.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.databases import server_if_asked
from tests.scoreboard import Score, add_arguments, report
from tests.simulation.ground import ground
from tests.simulation.many import play_one, run


def replay(seed: int) -> int:
    """One history with its trace; 1 when it broke."""
    with server_if_asked() as address, ground(address) as here:
        history, error = play_one(here.root / "world", here.index, seed)
    print("\n".join(history.trace))
    if error is not None:
        traceback.print_exception(error)
    return int(error is not None)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--histories", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--history", type=int, help="replay this seed and print its trace")
    add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.history is not None:
        return replay(arguments.history)
    begun = time.monotonic()
    with server_if_asked() as address:
        tally = run(arguments.histories, arguments.seed, arguments.jobs, address)
    command = f"python -m tests.simulation --histories {arguments.histories} --seed {arguments.seed}"
    score = Score(
        "simulation", tally.histories, "histories", tuple(tally.broken), time.monotonic() - begun, command,
        arguments.seed, tally.details,
    )  # fmt: skip
    return report(score, arguments)


if __name__ == "__main__":
    sys.exit(main())
