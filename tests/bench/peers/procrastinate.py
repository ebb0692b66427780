"""watchdog, and procrastinate's queue on PostgreSQL with processes as workers."""

from __future__ import annotations

import os

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

from tests.bench.peers.job import PAUSE, employ, feed, process

ADDRESS = os.environ["BENCH_INDEX"]
app = App(connector=SyncPsycopgConnector(conninfo=ADDRESS))
work = app.task(process, name="process")


def consume() -> None:
    """procrastinate's own worker, at the shortest pauses that it has; it is woken by NOTIFY besides."""
    mine = app.with_connector(PsycopgConnector(conninfo=ADDRESS))
    mine.run_worker(concurrency=1, fetch_job_polling_interval=PAUSE, install_signal_handlers=False)


if __name__ == "__main__":
    with app.open():
        app.schema_manager.apply_schema()
    employ(consume)
    with app.open():
        feed(lambda path: work.defer(path=path))
