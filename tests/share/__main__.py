"""`python -m tests.share`: files of another host, on a share that denies what it does, and consumers are killed."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from pqfs.model import State
from tests.process.stage import Stage, eventually
from tests.share.share import Share, compile_share, missing
from tests.share.test_share import CONFIG, bodies

_BATCH = 40
_CONSUMERS = ("consumer-00", "consumer-01")


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--every", type=int, default=6, help="of so many calls that change names one is denied")
    asked = parser.parse_args()
    if why := missing():
        print(why)
        return 2
    with tempfile.TemporaryDirectory(prefix="pqfs-share-") as folder:
        root = Path(folder)
        for name in ("server", "spool"):
            (root / name).mkdir()
        (root / "server" / "run").symlink_to(root / "run")
        share = Share(compile_share(root), root / "server", root / "spool")
        try:
            return _storm(Stage(root, CONFIG.format(root=root)), share, asked.files, asked.every)
        finally:
            share.close()


def _storm(stage: Stage, share: Share, files: int, every: int) -> int:
    """Deliver, kill, wait, and hold everything against the invariants."""
    for command, program in (("ingest", "ingester"), ("janitor", "janitor")):
        stage.start(command, program)
    running = {name: stage.start("consume", name) for name in _CONSUMERS}
    share.deny(every)
    sent, kills = [], 0
    try:
        for number in range(files):
            sent.append(b"%d of another host" % number)
            (share.server / "inbox" / f"{number}.txt").write_bytes(sent[-1])
            if number % _BATCH == _BATCH - 1:
                time.sleep(1.0)
                name = _CONSUMERS[kills % 2]
                running[name].send_signal(signal.SIGKILL)
                running[name].wait()
                running[name] = stage.start("consume", name)
                kills += 1
        eventually(lambda: len(stage.jobs(State.COMPLETED)) >= files, "every file comes out", 60 + files)
        share.deny(0)
        failures = sum(job.failures for job in stage.jobs())
        stage.close()
    except BaseException:
        share.deny(0)
        stage.abandon()
        raise
    found = bodies(stage)
    lost, doubled = len(set(sent) - set(found)), len(found) - len(set(found))
    print(
        f"share: {files} files, {kills} kills, {share.denied} calls done and denied: lost {lost}, doubled {doubled}"
    )
    return 0 if (lost, doubled, failures) == (0, 0, 0) else 1


if __name__ == "__main__":
    sys.exit(main())
