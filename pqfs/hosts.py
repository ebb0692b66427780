"""Several hosts on one spool: who they are, and whether the owners of another one live.

An owner of this host is asked for its kernel lock, as ever. Of another host's only the index can tell, in two ways.
Its name is held by a connection of its own: a process that is gone loses it at once, a machine as soon as the server
notices. And there are leases, by the index's clock: a consumer renews its own, of all else that of its host counts;
they tell who is stopped, and, where a proxy hides whose session lives, who is gone.

Either is believed only when it was seen for a while and over one connection of ours. After a failure of the server,
or of the network, all names are free and all leases over, and all that live need a moment to say so.

Who was declared dead and goes on (a stopped host, one that was cut off) is fenced: its row is gone, it owns no
attempt any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pqfs.clock import Clock, boot_id
from pqfs.errors import SchemaInUse, Unavailable
from pqfs.index import Consumer, Engine, Index, led_by
from pqfs.index.hostrows import SINCE, Host, HostRows
from pqfs.owners import Life, Owners, host_of
from pqfs.settings import Settings

DUTY = "janitor"  # what one of several hosts' janitors has: all that is not about its own host's processes
_FRESH = 0.5  # seconds for which one look at the index is good
_GRACE = 3.0  # seconds: who has lost his connection asks for it every second
_RETURN = 10.0  # seconds, or a third of a lease where that is less: in it all come back who were cut off as we were


def owners_of(settings: Settings, index: Index, clock: Clock) -> Owners:
    """The owners of a spool: of this host, and where the index is a server's, of the others."""
    judge = RemoteLife(index, clock) if settings.index_server else None
    return Owners(settings.spool / "run", settings.host, judge)


@dataclass(frozen=True, slots=True)
class _View:
    """What the index tells of all hosts at one look, at `at` in boot time and `now` by the index's clock."""

    at: float
    now: float
    consumers: Mapping[str, Consumer]
    hosts: Mapping[str, Host]
    is_held: Callable[[str], bool]

    def lease(self, owner: str) -> tuple[float, bool] | None:
        """The lease that counts for an owner (seconds), and whether it is over; None where nobody was heard of."""
        if consumer := self.consumers.get(owner):
            return consumer.lease, self.now - consumer.beat_at > consumer.lease
        host = self.hosts.get(str(host_of(owner)))
        return (host.lease, host.is_silent(self.now)) if host else None


class RemoteLife:
    """Whether an owner on another host lives: `RemoteLife(index, clock)(owner)`. Ask it again and again.

    Dead is who was seen without a sign of life for 3 seconds, but not before 10 have passed since our connection was
    made (a third of his lease where that is less). A lease that is over, and a name that is free, are no such signs.
    """

    def __init__(self, index: Index, clock: Clock) -> None:
        self._index = index
        self._clock = clock
        self._view: _View | None = None
        self._connection = 0
        self._since = 0.0  # when this connection was first looked through (boot time)
        self._held: set[str] = set()  # who was seen to hold his name, once
        self._doubted: dict[str, float] = {}  # who was seen without a sign of life at every look, and since when
        self._sure_at = 0.0

    def __call__(self, owner: str) -> Life:
        """Alive until the contrary is proved; unknown where its host was never heard of."""
        view = self._look()
        lease = view.lease(owner)
        if lease is None:
            return Life.UNKNOWN
        seconds, is_over = lease
        if not (self._has_let_go(owner, view) or is_over):
            self._doubted.pop(owner, None)
            return Life.ALIVE
        sure_at = max(self._doubted.setdefault(owner, view.at) + _GRACE, self._since + min(seconds / 3, _RETURN))
        self._sure_at = max(self._sure_at, sure_at)
        return Life.DEAD if view.at >= sure_at else Life.ALIVE

    @property
    def is_in_doubt(self) -> bool:
        """Whether a look in a moment may prove a death."""
        return self._clock.boottime() < self._sure_at + _GRACE

    def _has_let_go(self, owner: str, view: _View) -> bool:
        """Whether its name was held and is not any more. Who never was seen to hold it may have no way to."""
        if view.is_held(owner):
            self._held.add(owner)
            return False
        return owner in self._held

    def _look(self) -> _View:
        """One look serves all who are asked about at once."""
        at = self._clock.boottime()
        if self._view is None or at - self._view.at >= _FRESH:
            self._view = _View(
                at,
                self._clock.now(),
                {consumer.owner: consumer for consumer in self._index.consumers()},
                {host.name: host for host in HostRows(self._index.engine).all()},
                self._index.engine.held(),
            )
            self._begin_anew_over(self._index.engine.connections(), at)
        return self._view

    def _begin_anew_over(self, connection: int, at: float) -> None:
        """Over another connection than the last one: what has been seen since is not known."""
        if connection != self._connection:
            self._connection, self._since, self._doubted = connection, at, {}


def leader(settings: Settings, index: Index) -> str | None:
    """The host whose janitor leads; None where none does, or all of them (one host, or a proxy that hides it)."""
    if settings.host is None:
        return None
    is_held = index.engine.held()
    names = (host.name for host in HostRows(index.engine).all())
    return next((name for name in names if is_held(led_by(DUTY, name))), None)


def beat_host(settings: Settings, index: Index, clock: Clock) -> None:
    """Tell the other hosts that this one lives; nothing where the index serves one host only.

    Raises:
        SchemaTooNew: a newer pqfs works with this index.
        Unavailable: another machine works under this one's name.
    """
    if settings.host is None:
        return
    host = Host(settings.host, boot_id(), clock.now(), settings.consume.lease)
    with index.transaction():
        is_ours = HostRows(index.engine).beat(host)
        index.engine.refuse_other_schema()  # Race: a newer pqfs brought it up to date before it could hear of us
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


def refuse_while_others_work(settings: Settings, engine: Engine, found: int) -> None:
    """Consent to bring an index of an older pqfs up to date, unless another host works with it as it is.

    Raises:
        SchemaInUse: one does, or did so less than a lease ago.
    """
    if settings.host is None or found < SINCE:
        return
    if others := others_at_work(settings, Index(engine), engine.clock()):
        raise SchemaInUse(found, others)
