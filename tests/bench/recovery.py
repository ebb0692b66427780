"""How long the job of a killed consumer waits until it runs again, with a second consumer idle.

    python -m tests.bench.recovery [--kills 15]

Measured from SIGKILL of the consumer in mid-job to the output of the second attempt; all is real but supervisor.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench import arena, figures
from tests.bench.arena import Room
from tests.bench.figures import Figures, Target, Value, median, quantile
from tests.process.stage import Stage, eventually

HANDLERS = """
import time

def first_time_sleeps(context):
    if context.attempt == 1:
        time.sleep(600)
    return b"out"
"""
SETTINGS = '[defaults]\nmax_crashes = 100\nhandler = {python = "own_handlers:first_time_sleeps"}\n'
_MEDIAN = 500.0  # milliseconds: the target


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


def measure(root: Path, kills: int) -> list[float]:
    """Milliseconds of each kill."""
    stage = Stage(root, SETTINGS, HANDLERS)
    stage.start("ingest", "ingester")
    stage.start("janitor")
    try:
        spent = [one_kill(stage, number) for number in range(kills)]
        stage.close()
        return spent
    finally:
        stage.abandon()


def main() -> None:
    parser = arena.arguments(__doc__)
    parser.add_argument("--kills", type=int, default=15)
    options = parser.parse_args()
    arena.interruptible()
    with arena.ground(options.at, Room(10_000, 0)) as base:
        spent, kind = measure(base, options.kills), arena.kind_of(base)
    rows: list[dict[str, Value]] = [
        {"kills": len(spent), "median ms": median(spent), "least ms": min(spent), "most ms": quantile(spent, 1.0)}
    ]
    targets = [Target("kill to the output of the second attempt, median ms", median(spent), _MEDIAN)]
    whole = Figures("recovery", arena.command_line(), rows, targets, facts={"file system": kind})
    figures.publish(whole, options.json)


if __name__ == "__main__":
    main()
