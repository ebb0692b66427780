"""watchdog, and PgQueuer on PostgreSQL with processes as workers; the driver that its documents show first."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import asyncpg
import psycopg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, SyncPsycopgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries, SyncQueries

from tests.bench.peers.job import employ, feed, process

ADDRESS = os.environ["BENCH_INDEX"]


async def install() -> None:
    """The tables of the queue."""
    await Queries(AsyncpgDriver(await asyncpg.connect(ADDRESS))).install()


async def work() -> None:
    """PgQueuer's own manager, with the batches that it takes by default."""
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(ADDRESS)))

    async def once(job: Job) -> None:
        process(os.fsdecode(job.payload or b""))

    queue.entrypoint("process")(once)
    await queue.run()


def consume() -> None:
    """One worker."""
    with suppress(KeyboardInterrupt):
        asyncio.run(work())


def produce() -> None:
    """A row for each file."""
    queries = SyncQueries(SyncPsycopgDriver(psycopg.connect(ADDRESS, autocommit=True)))
    feed(lambda path: queries.enqueue("process", os.fsencode(path)))


if __name__ == "__main__":
    asyncio.run(install())
    employ(consume)
    produce()
