"""How long the job of a killed consumer waits until it runs again, with a second consumer idle. A program.

    python -m tests.bench.recovery [--kills 15]

Measured from SIGKILL of the consumer in mid-job to the output of the second attempt; all is real but supervisor.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.process.stage import Stage, eventually

HANDLERS = """
import time

def first_time_sleeps(context):
    if context.attempt == 1:
        time.sleep(600)
    return b"out"
"""
SETTINGS = '[defaults]\nmax_crashes = 100\nhandler = {python = "own_handlers:first_time_sleeps"}\n'


def one_kill(stage: Stage, number: int) -> float:
    """Drop a job, kill the consumer that runs it, and return the milliseconds until its output is there."""
    consumers = [stage.consumer(f"consumer-{number:02d}-{side}") for side in "ab"]
    for consumer in consumers:
        stage.runner(consumer)
    before = len(stage.outputs())
    stage.drop(f"job{number}")
    eventually(lambda: any(stage.running(consumer) for consumer in consumers), "the job runs")
    victim = next(consumer for consumer in consumers if stage.running(consumer))
    began = time.perf_counter()
    victim.kill()
    eventually(lambda: len(stage.outputs()) > before, "the job has run again")
    spent = (time.perf_counter() - began) * 1e3
    for consumer in consumers:
        if consumer is not victim:
            stage.stop(consumer)
    return spent


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pqfs-bench-") as scratch:
        stage = Stage(Path(scratch), SETTINGS, HANDLERS)
        stage.start("ingest", "ingester")
        stage.start("janitor")
        try:
            spent = sorted(one_kill(stage, number) for number in range(options.kills))
            stage.close()
        finally:
            stage.abandon()
    print(f"kill to output of the second attempt, {options.kills} kills, ms")
    print(f"  median {statistics.median(spent):.1f}   least {spent[0]:.1f}   most {spent[-1]:.1f}")


if __name__ == "__main__":
    main()
