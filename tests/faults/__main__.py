"""Kill points, errors and lies of system calls on real processes: `python -m tests.faults`.

--kinds kill,errno,lie,double     what to try (all)
--scenario NAME                   only this one; may be repeated
--sample N                        at most so many points of each kind, chosen by --seed
--point ingest/main/openat/3/EIO  one point, with what the process said; --keep DIR keeps its spool
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.faults.injector import NotHere
from tests.faults.points import Laboratory, Point, Verdict, double_points, errno_points, kill_points, lie_points
from tests.faults.scenarios import SCENARIOS
from tests.scoreboard import Score, add_arguments, report

KINDS = {"kill": kill_points, "errno": errno_points, "lie": lie_points, "double": double_points}


def choose(
    kinds: Sequence[str], scenarios: Sequence[str], sample: int | None, chance: random.Random
) -> dict[str, list[Point]]:
    """The points to try, by kind."""
    laboratory = Laboratory()
    chosen: dict[str, list[Point]] = {}
    try:
        grounds = [laboratory.ground(name) for name in scenarios]
        for kind in kinds:
            found = [point for ground in grounds for point in KINDS[kind](ground, chance)]
            chosen[kind] = chance.sample(found, sample) if sample and sample < len(found) else found
    finally:
        laboratory.close()
    return chosen


def _work(points: Sequence[Point], answers: Connection) -> None:
    laboratory = Laboratory()
    try:
        for point in points:
            answers.send(laboratory.attempt(point))
    except KeyboardInterrupt:
        pass
    finally:
        laboratory.close()
        answers.close()


def try_all(points: Sequence[Point], jobs: int) -> Iterator[Verdict]:
    """What becomes of each point, in the order in which they are done by so many processes."""
    context = get_context("fork")
    open_ends: list[Connection] = []
    for number in range(jobs):
        read, write = context.Pipe(duplex=False)
        context.Process(target=_work, args=(points[number::jobs], write)).start()
        write.close()
        open_ends.append(read)
    while open_ends:
        for end in wait(open_ends):
            assert isinstance(end, Connection)
            try:
                yield end.recv()
            except EOFError:
                open_ends.remove(end)


class Progress:
    """Says every few seconds how far it is, on stderr."""

    def __init__(self, total: int) -> None:
        self._total, self._begun, self._said = total, time.monotonic(), time.monotonic()

    def tell(self, done: int, broken: int) -> None:
        now = time.monotonic()
        if now - self._said > 10 or done == self._total:
            left = (now - self._begun) / done * (self._total - done)
            print(f"{done:,} of {self._total:,}, {broken} broken, {left:.0f} s left", file=sys.stderr, flush=True)
            self._said = now


def one(point: Point, keep: Path | None) -> int:
    """Try one point and show all there is to see."""
    laboratory = Laboratory()
    try:
        verdict = laboratory.attempt(point, keep)
    finally:
        laboratory.close()
    print(verdict.log, end="")
    print(f"struck: {verdict.struck}, answers: {verdict.answers}, told: {verdict.told}")
    for sentence in verdict.wrong:
        print(f"BROKEN  {sentence}")
    return 1 if verdict.wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="kill,errno,lie,double")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--point", type=Point.parse)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--silent", action="store_true", help="list the faults of which the process said nothing")
    add_arguments(parser)
    arguments = parser.parse_args()
    try:
        return one(arguments.point, arguments.keep) if arguments.point else _all(arguments)
    except NotHere as error:
        print(f"not possible here: {error}", file=sys.stderr)
        return 1


def _all(arguments: argparse.Namespace) -> int:
    begun = time.monotonic()
    scenarios = arguments.scenario or list(SCENARIOS)
    chosen = choose(arguments.kinds.split(","), scenarios, arguments.sample, random.Random(arguments.seed))
    points = [point for found in chosen.values() for point in found]
    random.Random(arguments.seed).shuffle(points)  # so that both workers get of everything, and progress is even
    violations, seen, progress = list[str](), Counter[str](), Progress(len(points))
    for number, verdict in enumerate(try_all(points, arguments.jobs), 1):
        for sentence in verdict.wrong:
            violations.append(f"--point '{verdict.point}': {sentence}")
            print(violations[-1], file=sys.stderr)
        seen.update(verdict.marks())
        if arguments.silent and "silent" in verdict.marks():
            print(f"SILENT  {verdict.point} {verdict.where}")
        progress.tell(number, len(violations))
    details = {**{kind: len(found) for kind, found in chosen.items()}, **dict(sorted(seen.items()))}
    command = f"python -m tests.faults --kinds {arguments.kinds} --seed {arguments.seed}"
    command += f" --sample {arguments.sample}" if arguments.sample else ""
    seconds = time.monotonic() - begun
    return report(
        Score("system calls", len(points), "faults", tuple(violations), seconds, command, arguments.seed, details),
        arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
