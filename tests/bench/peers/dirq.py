"""watchdog, and dirq: a queue of files in directories, claimed by hard links, with processes as consumers."""

from __future__ import annotations

import os
import time

from dirq.QueueSimple import QueueSimple

from tests.bench.peers.job import BASE, PAUSE, employ, feed, process

TOP = os.path.join(BASE, "dirq")


def consume() -> None:
    """Go through what lies there again and again; lock, process, remove."""
    queue = QueueSimple(TOP)
    while True:
        name = queue.first()
        if not name:
            time.sleep(PAUSE)
        while name:
            if queue.lock(name):
                process(os.fsdecode(queue.get(name)))
                queue.remove(name)
            name = queue.next()


if __name__ == "__main__":
    mine = QueueSimple(TOP)
    employ(consume)
    feed(mine.add)
