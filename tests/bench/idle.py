"""What a stack costs while nothing happens: processor time, and how often each of its processes wakes.

    python -m tests.bench.idle [--settle 20] [--seconds 60] [--consumers 2]

The whole stack without the console, after its first job. A wake-up is counted as a voluntary wait that began, over
all threads of a process. supervisord, and `pqfs up` that waits for it, are shown; the targets speak of what is ours.
"""

from __future__ import annotations

import time

from tests.bench import arena, figures, usage
from tests.bench.arena import Room
from tests.bench.figures import Figures, Target, Value
from tests.bench.peers import PQFS
from tests.bench.standing import Standing, standing
from tests.bench.usage import Rest

_SHARE, _WAKES = 0.5, 1.0  # % of a core of the whole stack; wake-ups a second of one process of ours


def observe(stand: Standing, seconds: float) -> list[dict[str, Value]]:
    """One row a process, of what it did in these seconds."""
    pids = usage.tree(stand.pid)
    before = {pid: usage.rest_of(pid) for pid in pids}
    time.sleep(seconds)
    return [_row(pid, before[pid], usage.rest_of(pid), seconds) for pid in pids]


def _row(pid: int, before: Rest, after: Rest, seconds: float) -> dict[str, Value]:
    return {
        "process": usage.stage_of(pid),
        "% of a core": (after.nanoseconds - before.nanoseconds) / seconds / 1e7,
        "wake-ups/s": (after.waits - before.waits) / seconds,
        "resident MiB": usage.of_process(pid).resident / 2**20,
    }


def targets(rows: list[dict[str, Value]]) -> list[Target]:
    """What was promised."""
    ours = [float(row["wake-ups/s"] or 0) for row in rows if row["process"] != "supervisord"]
    return [
        Target("the whole stack, % of a core", sum(float(row["% of a core"] or 0) for row in rows), _SHARE),
        Target("wake-ups a second of the process of ours that wakes most", max(ours), _WAKES),
    ]


def main() -> None:
    parser = arena.arguments(__doc__)
    parser.add_argument("--settle", type=float, default=20.0, help="seconds before the measurement")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the measurement")
    parser.add_argument("--consumers", type=int, default=2)
    options = parser.parse_args()
    arena.interruptible()
    with arena.ground(options.at, Room(100, 0)) as base, standing(PQFS, base, options.consumers) as stand:
        time.sleep(options.settle)
        rows, kind = observe(stand, options.seconds), arena.kind_of(base)
    total: dict[str, Value] = {"process": "all"}
    total |= {name: sum(float(row[name] or 0) for row in rows) for name in rows[0] if name != "process"}
    whole = Figures("idle", arena.command_line(), [*rows, total], targets(rows), facts={"file system": kind})
    figures.publish(whole, options.json)


if __name__ == "__main__":
    main()
