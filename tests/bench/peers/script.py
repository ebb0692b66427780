"""What most people write first: watchdog and a pool of threads. It remembers nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.bench.peers.job import feed, process

if __name__ == "__main__":
    pool = ThreadPoolExecutor(4)
    feed(lambda path: pool.submit(process, path))
