"""A consumer among the others: its row in the index, and the beat that keeps its lease."""

from __future__ import annotations

from collections.abc import Sequence

from pqfs.clock import Clock
from pqfs.consumer import Consumer
from pqfs.events import Word, emit
from pqfs.index import Consumer as ConsumerRow
from pqfs.index import Index
from pqfs.runtime import Heartbeat, Identity, Stop


def register(
    index: Index, identity: Identity, pid: int, queues: Sequence[str] | None, lease: float, clock: Clock
) -> None:
    """Add the consumer's row, after its lock and before its first claim."""
    now, boottime = clock.now(), clock.boottime()
    row = ConsumerRow(
        identity.owner, identity.program, pid, identity.host, identity.boot_id,
        tuple(queues) if queues is not None else None, now, now, boottime, lease, 0,
    )  # fmt: skip
    with index.transaction():
        index.register(row)


def heartbeat(
    index: Index, consumer: Consumer, identity: Identity, lease: float, clock: Clock, stop: Stop,
    is_shared: bool = False,
) -> Heartbeat:  # fmt: skip
    """Renews the consumer's lease, three times a lease, over a connection of its own; in its slot first.

    Where hosts share the index that connection holds the consumer's name, is asked for every second, and the lease is
    renewed at once when it was lost.
    """

    def glance() -> bool:
        consumer.beat()
        return index.engine.keep()

    def beat() -> None:
        consumer.beat()
        with index.transaction():
            alive = index.beat(identity.owner, clock.now(), clock.boottime(), consumer.completed)
        if not alive:
            emit(Word.LEASE_LOST, owner=identity.owner, what="this consumer was declared dead; it stops")
            stop.request()

    return Heartbeat(lease / 3, beat, glance if is_shared else None)
