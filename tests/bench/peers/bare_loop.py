"""As little as can be: one process that moves, writes and publishes, one sync for a batch. It remembers nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NoReturn

from pqfs.kernel import syncfs
from tests.bench.peers.job import BASE, INBOX, OUTBOX, WORK, output_name

_BATCH = 256
_READY, _CLAIMED = (os.path.join(BASE, name) for name in ("ready", "claimed"))


def take(disk: int, names: Sequence[str]) -> None:
    """Out of the inbox, for good."""
    for name in names:
        os.rename(f"{INBOX}/{name}", f"{_READY}/{name}")
    syncfs(disk)


def run(name: str) -> str:
    """Write the output of one file; the name that it will have."""
    os.rename(f"{_READY}/{name}", f"{_CLAIMED}/{name}")
    with open(f"{_CLAIMED}/{name}", "rb") as file:
        data = file.read()
    now = datetime.now(UTC)
    with open(f"{WORK}/{name}", "wb") as file:
        file.write(b"%s\n%s" % (now.isoformat().encode(), data))
    return output_name(now, name)


def publish(disk: int, names: Sequence[str], outputs: Sequence[str]) -> None:
    """Make the outputs durable, then visible, and let the inputs go."""
    syncfs(disk)
    for name, output in zip(names, outputs, strict=True):
        os.rename(f"{WORK}/{name}", f"{OUTBOX}/{output}")
        os.unlink(f"{_CLAIMED}/{name}")


def main() -> NoReturn:
    for path in (_READY, _CLAIMED):
        os.makedirs(path, exist_ok=True)
    disk = os.open(BASE, os.O_RDONLY)
    while True:
        names = os.listdir(INBOX)
        for first in range(0, len(names), _BATCH):
            batch = names[first : first + _BATCH]
            take(disk, batch)
            publish(disk, batch, [run(name) for name in batch])
        if not names:
            time.sleep(0.001)


if __name__ == "__main__":
    main()
