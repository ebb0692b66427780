"""watchdog, and huey's SQLite queue with processes as consumers, synced at each commit."""

from __future__ import annotations

import os
from multiprocessing import Process

from huey import SqliteHuey

from tests.bench.peers.job import BASE, CONSUMERS, feed, process

queue = SqliteHuey("bench", filename=os.path.join(BASE, "huey.db"), fsync=True)
submit = queue.task(retries=2)(process)


def consume() -> None:
    """huey's own consumer, at the shortest pauses that it has."""
    how = {"worker_type": "process", "initial_delay": 0.01, "max_delay": 0.1, "periodic": False}
    queue.create_consumer(workers=CONSUMERS, **how).run()


if __name__ == "__main__":
    Process(target=consume).start()
    feed(submit)
