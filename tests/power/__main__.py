"""Power loss on real file systems: every state that a disk may be left in, recovered and checked.

    python -m tests.power --states 3000 --seed 1                  ext4, xfs and btrfs
    python -m tests.power --index other                           index.db on another file system than the spool
    python -m tests.power --durability relaxed                    must lose something: what, by file system
    python -m tests.power --mutant no-ingest-barrier              the same for pqfs without a precaution
    python -m tests.power --io-errors                             the disk refuses writes and flushes instead
    python -m tests.power --state btrfs-17-R12.1                  one state again

A FUSE file under a loop device logs every write and flush of a random workload; states are all prefixes of the log
and random parts of what was not flushed, now and then with a torn write. Needs root, FUSE, gcc and the mkfs programs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.power.campaign import Plan, Tried, campaign, try_state
from tests.power.disk import missing
from tests.power.disturbance import io_errors
from tests.power.filesystems import FILE_SYSTEMS
from tests.power.mutants import HARMLESS, Mutant
from tests.scoreboard import Score, add_arguments, report


def main() -> int:
    arguments = _parse()
    if reason := missing():
        print(f"error: {reason}", file=sys.stderr)
        return 2
    plan = Plan(
        arguments.states, arguments.seed, tuple(arguments.file_systems.split(",")), arguments.index,
        arguments.durability == "strict", arguments.mutant, arguments.jobs, keep=arguments.keep,
    )  # fmt: skip
    started = time.monotonic()
    if arguments.state:
        tried = [try_state(plan, arguments.state)]
    else:
        tried = (io_errors if arguments.io_errors else campaign)(plan, _Progress(plan.states))
    row = score(plan, tried, time.monotonic() - started)
    return report(for_errors(row, tried) if arguments.io_errors else row, arguments)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.power", description=__doc__.splitlines()[0])
    parser.add_argument("--states", type=int, default=3000, help="how many, all file systems together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file-systems", default=",".join(FILE_SYSTEMS), help="of ext4, xfs, btrfs")
    parser.add_argument("--index", choices=("same", "other"), default="same", help="its file system: the spool's?")
    parser.add_argument("--durability", choices=("strict", "relaxed"), default="strict")
    parser.add_argument("--mutant", type=Mutant, choices=list(Mutant), help="leave a precaution out")
    parser.add_argument("--io-errors", action="store_true", help="the disk fails instead, while each verb runs")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--state", metavar="LABEL", help="try this one only")
    keep = Path(tempfile.gettempdir()) / "pqfs-power"
    parser.add_argument("--keep", type=Path, default=keep, help="a folder for recordings that broke something")
    add_arguments(parser)
    return parser.parse_args()


class _Progress:
    """A line for each recording."""

    def __init__(self, states: int) -> None:
        self._states, self._tried, self._broken = states, 0, 0

    def __call__(self, tried: Tried) -> None:
        self._tried += tried.states
        self._broken += len(tried.broken)
        each = 1000 * tried.seconds / max(1, tried.states)
        print(
            f"{tried.file_system:5} seed {tried.seed}: {tried.states} states, {each:.0f} ms each; "
            f"{self._tried:,} of {self._states:,}, {self._broken} violated",
            file=sys.stderr,
        )


def score(plan: Plan, tried: Sequence[Tried], seconds: float) -> Score:
    """The row. A run that is to prove that the rig can fail is broken when nothing was."""
    is_proof = not plan.durable or plan.mutant not in (None, *HARMLESS)
    broken = tuple(sentence for each in tried for sentence in each.sentences())
    details = dict(_details(tried))
    if is_proof:
        details["states with a loss"] = len(broken)
        broken = () if broken else ("nothing was lost: this rig sees nothing",)
    words = ["python -m tests.power", f"--states {plan.states}", f"--file-systems {','.join(plan.file_systems)}"]
    words += [f"--index {plan.index}"] * (plan.index != "same") + ["--durability relaxed"] * (not plan.durable)
    words += [f"--mutant {plan.mutant}"] * (plan.mutant is not None) + [f"--seed {plan.seed}"]
    count = sum(each.states for each in tried)
    name = f"power loss, {plan.mutant or ('strict' if plan.durable else 'relaxed')}"
    name += ", index on another file system" * (plan.index == "other")
    return Score(name, count, "power-loss states", broken, seconds, " ".join(words), plan.seed, details)


def for_errors(row: Score, tried: Sequence[Tried]) -> Score:
    """The row of a run under I/O errors: how the verbs ended."""
    endings: Counter[str] = sum((each.endings for each in tried), Counter())
    command = f"{row.command} --io-errors"
    name = row.layer.replace("power loss, strict", "I/O errors")
    details = {**row.details, **endings}
    return replace(row, layer=name, unit="I/O errors", command=command, details=details)


def _details(tried: Sequence[Tried]) -> Counter[str]:
    """States by file system, and in how many of them each kind of loss was seen."""
    found: Counter[str] = Counter()
    for each in tried:
        found[each.file_system] += each.states
        for kind, count in sorted(each.kinds().items()):
            found[f"{each.file_system} {kind}"] += count
    return found


if __name__ == "__main__":
    sys.exit(main())
