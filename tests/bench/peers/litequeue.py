"""watchdog, and litequeue on SQLite with processes as consumers."""

from __future__ import annotations

import os
import time

from litequeue import LiteQueue

from tests.bench.peers.job import BASE, PAUSE, employ, feed, process

FILE = os.path.join(BASE, "lite.db")


def consume() -> None:
    """Pop, process, mark as done."""
    queue = LiteQueue(FILE)
    while True:
        entry = queue.pop()
        if entry is None:
            time.sleep(PAUSE)
            continue
        process(entry.data)
        queue.done(entry.message_id)


if __name__ == "__main__":
    mine = LiteQueue(FILE)
    employ(consume)
    feed(mine.put)
