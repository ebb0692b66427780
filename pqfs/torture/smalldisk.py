"""The second part of a storm: the same on a small disk that is full now and then.

No root and no file of the user's in danger: `unshare` gives this module a mount namespace of its own, in which a
small tmpfs is mounted; it is gone with its last process. So its verdict is told in there, and written into the
books of the first part. Where namespaces are not to be had, that is told instead.

    python -m pqfs.torture.smalldisk ROOT SEED SECONDS CONSUMERS      inside the namespace
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pqfs.clock import SystemClock
from pqfs.errors import PqfsError
from pqfs.torture.account import gather
from pqfs.torture.books import Line
from pqfs.torture.ground import Ground
from pqfs.torture.storm import Glance, Order, Storm
from pqfs.torture.verdict import judge

TOLD = "smalldisk.json"  # also read by `account`
_SIZE = "48m"  # low water is a twentieth of it
_PACE = 0.15
_PAUSED = " paused "


def rage(ground: Ground, order: Order, seconds: float, say: Callable[[Glance], None]) -> None:
    """Storm on a small disk for some seconds, and leave what came of it in the books of `ground`."""
    small = Ground(ground.root / "small", is_small=True)
    small.disk.mkdir(parents=True)
    say(Glance("on a small disk that is full now and then", None, 0, 0, 0))
    arguments = [str(small.root), str(order.seed), str(seconds), str(order.consumers)]
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", __name__, *arguments]
    with (ground.books / "storm.log").open("ab") as log:
        try:
            inside = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ground.environment()
            )
        except FileNotFoundError:
            _tell(ground, {"why": "there is no `unshare` here"})
            return
    try:
        code = inside.wait()
    finally:
        inside.terminate()
        inside.wait()
    told = small.root / TOLD
    why = f"no mount namespace is to be had (code {code}): see books/storm.log"
    _tell(ground, json.loads(told.read_text()) if told.exists() else {"why": why})


def _tell(ground: Ground, told: Line) -> None:
    (ground.books / TOLD).write_text(json.dumps(told))


# -------------------------------------------------------------------- inside


def main() -> None:
    """Mount, storm, judge, write down."""
    root, seed, seconds, consumers = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    small = Ground(root, is_small=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE},mode=0750", "tmpfs", str(small.disk)], check=True)
    try:
        Storm(small, Order(seed, seconds, None, consumers, _PACE), SystemClock(), lambda glance: None).rage()
        told = _told(small)
    except PqfsError as error:
        told = {"wrong": {"broken": [f"{error.message} {error.hint}"]}, "full": 0, "paused": 0, "sent": 0, "out": 0}
    (root / TOLD).write_text(json.dumps(told))


def _told(small: Ground) -> Line:
    verdict = judge(gather(small))
    wrong = {word: list(found) for word, found in verdict.wrong.items()}
    full, paused = verdict.kills.get("full", 0), _times_paused(small)
    if full and not paused:
        wrong["broken"].append(f"the disk was full {full} times, and nobody paused")
    return {
        "full": full, "paused": paused, "sent": verdict.sent, "out": verdict.out, "survived": verdict.survived,
        "settled": verdict.settled, "wrong": wrong,
    }  # fmt: skip


def _times_paused(small: Ground) -> int:
    logs = [*(small.root / "logs").glob("consumer*.log*"), *(small.root / "logs").glob("ingester*.log*")]
    return sum(path.read_text(errors="replace").count(_PAUSED) for path in logs)


if __name__ == "__main__":
    main()
