"""watchdog, and persist-queue's acknowledged SQLite queue. One consumer: it gives one file to two of them."""

from __future__ import annotations

import os
import time

from persistqueue import Empty, SQLiteAckQueue

from tests.bench.peers.job import BASE, PAUSE, employ, feed, process


def connect() -> SQLiteAckQueue:
    """The queue, for one process."""
    return SQLiteAckQueue(os.path.join(BASE, "persist"), auto_commit=True, multithreading=True)


def consume() -> None:
    """Get, process, acknowledge."""
    queue = connect()
    while True:
        try:
            path = queue.get(block=False)
        except Empty:
            time.sleep(PAUSE)
            continue
        if os.path.exists(path):  # it may be given twice
            process(path)
        queue.ack(path)


if __name__ == "__main__":
    mine = connect()
    employ(consume, 1)
    feed(mine.put)
