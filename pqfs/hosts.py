"""Several hosts on one spool: who they are, and whether the owners of another one live.

An owner of this host is asked for its kernel lock, as ever. Of another host's only the index can tell: a consumer
lives as long as it renews its own lease, all else as long as its host does, by the index's clock. Who was declared
dead and goes on (a stopped host, one that was cut off) is fenced: its row is gone, it owns no attempt any more.
"""

from __future__ import annotations

from pqfs.clock import Clock, boot_id
from pqfs.errors import Unavailable
from pqfs.index import Index
from pqfs.index.hostrows import Host, HostRows
from pqfs.owners import Life, Owners, host_of
from pqfs.settings import Settings


def owners_of(settings: Settings, index: Index, clock: Clock) -> Owners:
    """The owners of a spool: of this host, and where the index is a server's, of the others."""
    judge = RemoteLife(index, clock) if settings.index_server else None
    return Owners(settings.spool / "run", settings.host, judge)


class RemoteLife:
    """Whether an owner on another host lives: `RemoteLife(index, clock)(owner)`."""

    def __init__(self, index: Index, clock: Clock) -> None:
        self._index = index
        self._clock = clock

    def __call__(self, owner: str) -> Life:
        """Alive or dead by its lease; unknown where its host was never heard of."""
        now = self._clock.now()
        for consumer in self._index.consumers():
            if consumer.owner == owner:
                return Life.DEAD if now - consumer.beat_at > consumer.lease else Life.ALIVE
        for host in HostRows(self._index.engine).all():
            if host.name == host_of(owner):
                return Life.DEAD if host.is_silent(now) else Life.ALIVE
        return Life.UNKNOWN


def beat_host(settings: Settings, index: Index, clock: Clock) -> None:
    """Tell the other hosts that this one lives; nothing where the index serves one host only.

    Raises:
        Unavailable: another machine works under this one's name.
    """
    if settings.host is None:
        return
    host = Host(settings.host, boot_id(), clock.now(), settings.consume.lease)
    with index.transaction():
        is_ours = HostRows(index.engine).beat(host)
    if not is_ours:
        raise Unavailable(
            f"Another machine works on this spool under the name {settings.host}, or did so a moment ago.",
            "Each host needs a name of its own (hostname). After a start of this one: try again in a moment.",
        )


def others_at_work(settings: Settings, index: Index, clock: Clock) -> list[str]:
    """The other hosts that work on this spool just now."""
    now = clock.now()
    others = (host for host in HostRows(index.engine).all() if host.name != settings.host)
    return [host.name for host in others if not host.is_silent(now)]
