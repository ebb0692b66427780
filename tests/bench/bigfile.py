"""One big file through the whole stack, against `cp` with a sync and `sha256sum` of the same file, both at once.

    python -m tests.bench.bigfile [--size 4GiB] [--rounds 3]

That is what the default handler does to it: a durable copy, hashed on the way. Timed from the rename into the inbox
to the output; the memory is that of the whole stack while it works, beside what it had before. The copy and the
checksum start together; the slower of the two counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bench import arena, figures, usage
from tests.bench.arena import Room
from tests.bench.figures import Figures, Target, Value, median
from tests.bench.load import Load, parse_size
from tests.bench.peers import PQFS
from tests.bench.standing import Standing, standing

_SHARE = 0.9  # of the speed of the slower of the two, at least
_GROWTH = 32.0  # MiB: what we call flat
_STALL = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Passage:
    """One round: seconds that each needed, and how many bytes the stack's memory grew."""

    stack: float
    copy: float
    checksum: float
    growth: int

    @property
    def slower(self) -> float:
        """Of the copy and the checksum."""
        return max(self.copy, self.checksum)


def measure(stand: Standing, size: str) -> Passage:
    """One round: the two programs first, then the stack, with the same file."""
    path = stand.prepare(Load(1, size), "big-{}".format)[0]
    copy, checksum = _beside_each_other(path)
    seconds, growth = _through(stand, path)
    _clear(stand)
    return Passage(seconds, copy, checksum, growth)


def _beside_each_other(path: Path) -> tuple[float, float]:
    target = path.with_name("copy")
    copy = ["sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", str(path), str(target)]
    with ThreadPoolExecutor(2) as both:
        spent = tuple(both.map(_seconds, (copy, ["sha256sum", str(path)])))
    target.unlink()
    arena.settle(path.parent)
    return spent[0], spent[1]


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _through(stand: Standing, path: Path) -> tuple[float, int]:
    """From the drop to the output, and the growth of the stack meanwhile."""
    before, size = usage.of_tree(stand.pid).resident, path.stat().st_size
    peak, began = before, stand.drop(path)
    while time.perf_counter() - began < _STALL:
        if seen := stand.sightings.wait(0.1):
            assert (stand.base / "outbox" / seen[0].name).stat().st_size > size
            return seen[0].at - began, peak - before
        peak = max(peak, usage.of_tree(stand.pid).resident)
    raise TimeoutError(f"{path.name} did not come out within {_STALL:g} s")


def _clear(stand: Standing) -> None:
    """Take the output, as a reader does; the next round needs the room."""
    for path in (stand.base / "outbox").iterdir():
        path.unlink()
    arena.settle(stand.base)


def main() -> None:
    parser = arena.arguments(__doc__)
    parser.add_argument("--size", default="4GiB")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    arena.interruptible()
    found, kind = run(options)
    size = parse_size(options.size) / 2**20
    rows: list[dict[str, Value]] = [
        {
            "round": number + 1, "stack s": each.stack, "cp + sync s": each.copy, "sha256sum s": each.checksum,
            "stack MiB/s": size / each.stack, "slower of the two MiB/s": size / each.slower,
            "growth MiB": each.growth / 2**20,
        }
        for number, each in enumerate(found)
    ]  # fmt: skip
    targets = [
        Target("speed / the slower's", median([each.slower / each.stack for each in found]), _SHARE, at_least=True),
        Target("growth of the stack's memory, MiB", max(each.growth for each in found) / 2**20, _GROWTH),
    ]
    whole = Figures("bigfile", arena.command_line(), rows, targets, facts={"file system": kind})
    figures.publish(whole, options.json)


def run(options: argparse.Namespace) -> tuple[list[Passage], str]:
    """All rounds on one stack, which keeps the inputs; and on which file system."""
    room = Room(100, parse_size(options.size) * (options.rounds + 3))
    with arena.ground(options.at, room) as base, standing(PQFS, base, 2) as stand:
        found = []
        for number in range(options.rounds):
            found.append(measure(stand, options.size))
            print(f"round {number + 1}: {found[-1].stack:.1f} s", file=sys.stderr, flush=True)
        return found, arena.kind_of(base)


if __name__ == "__main__":
    main()
