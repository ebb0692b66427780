"""Several hosts on one index: whose owner is asked for where, and one name for one machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.clock import boot_id
from pqfs.errors import Unavailable
from pqfs.hosts import RemoteLife, beat_host, others_at_work
from pqfs.index import Consumer, Index
from pqfs.index.hostrows import Host, HostRows
from pqfs.index.sqlite import SqliteEngine
from pqfs.janitor import Janitor
from pqfs.jobqueue import JobQueue
from pqfs.model import Job, State
from pqfs.owners import Life, OwnerLock, Owners, host_of
from pqfs.recovery import Recovery
from pqfs.settings import Settings
from pqfs.spool import Spool
from tests.world import SettableClock, invariants, submitted

SERVED = Settings(index="postgresql://host/db")


def beat(index: Index, host: Host) -> bool:
    with index.transaction():
        return HostRows(index.engine).beat(host)


def test_only_where_hosts_share_the_index_their_names_stand_in_those_of_owners(
    tmp_path: Path, clock: SettableClock
) -> None:
    plain = OwnerLock(tmp_path, "ingester", "boot", clock.now(), Settings().host)
    shared = OwnerLock(tmp_path, "ingester", "boot", clock.now(), "alpha")

    assert (host_of(plain.name), host_of(shared.name)) == (None, "alpha")
    assert SERVED.host and "." not in SERVED.host
    plain.release()
    shared.release()


def test_an_owner_with_a_lock_file_here_is_asked_for_its_lock_and_all_others_elsewhere(
    tmp_path: Path, clock: SettableClock
) -> None:
    owners = Owners(tmp_path, "alpha", Lively())
    lock = OwnerLock(tmp_path, "ingester", "boot", clock.now(), "alpha")
    assert owners.life(lock.name) is Life.ALIVE
    lock.abandon()

    assert owners.life(lock.name) is Life.DEAD
    assert owners.life("ingester.4194305.0123abcd.alpha") is Life.DEAD  # its lock file is gone, and so is its process
    assert owners.life("ingester.4194305.0123abcd.beta") is Life.ALIVE
    assert Owners(tmp_path, "alpha").life("ingester.4194305.0123abcd.beta") is Life.UNKNOWN


# -------------------------------------------------------------------- who lives elsewhere

CONSUMER, INGESTER = "consumer-00.1.0123abcd.beta", "ingester.2.0123abcd.beta"


class Watched(SqliteEngine):
    """An index of several hosts, as far as this is seen over one connection: a test says who holds his name."""

    names: set[str]
    number = 1

    def held(self) -> Callable[[str], bool]:
        """Whose name is held, says the test."""
        return frozenset(self.names).__contains__

    def connections(self) -> int:
        """How often it was lost, says the test."""
        return self.number


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Watched]:
    """Nobody holds his name."""
    opened = Watched(tmp_path / "index.db")
    opened.names = set()
    yield opened
    opened.close()


@pytest.fixture
def index(engine: Watched) -> Index:
    """On which a consumer with a lease of 30 s was begun on beta, a host with a lease of 12."""
    return Index(engine)


@pytest.fixture
def life(index: Index, clock: SettableClock) -> RemoteLife:
    """How beta is seen, a minute after the first look."""
    with index.transaction():
        now, boot = clock.now(), clock.boottime()
        index.register(Consumer(CONSUMER, "consumer-00", 1, "beta", "boot", None, now, now, boot, 30.0, 0))
    assert beat(index, Host("beta", "boot", clock.now(), 12.0))
    made = RemoteLife(index, clock)
    for _ in range(6):
        assert_alive(made, CONSUMER, INGESTER)
        pass_by(clock, 10.0, index)
    return made


def assert_alive(life: RemoteLife, *owners: str) -> None:
    assert {owner: life(owner) for owner in owners} == dict.fromkeys(owners, Life.ALIVE)


def pass_by(clock: SettableClock, seconds: float, index: Index) -> None:
    """Time passes, and whoever lives beats."""
    clock.pass_by(seconds)
    beat(index, Host("beta", "boot", clock.now(), 12.0))
    with index.transaction():
        index.beat(CONSUMER, clock.now(), clock.boottime(), 0)


def test_a_consumer_elsewhere_lives_by_its_lease_and_all_else_by_its_hosts(
    life: RemoteLife, clock: SettableClock
) -> None:
    assert life("ingester.2.0123abcd.gamma") is Life.UNKNOWN
    clock.pass_by(12.0)
    assert_alive(life, CONSUMER, INGESTER)
    assert not life.is_in_doubt

    clock.pass_by(1.0)
    assert_alive(life, CONSUMER, INGESTER)
    assert life.is_in_doubt
    clock.pass_by(3.0)
    assert (life(CONSUMER), life(INGESTER)) == (Life.ALIVE, Life.DEAD)
    clock.pass_by(15.0)
    assert life(CONSUMER) is Life.ALIVE
    clock.pass_by(3.0)
    assert (life(CONSUMER), life(INGESTER)) == (Life.DEAD, Life.DEAD)
    clock.pass_by(10.0)
    assert not life.is_in_doubt


def test_who_has_let_go_of_his_name_is_dead_in_seconds_whatever_his_lease_says(
    life: RemoteLife, engine: Watched, index: Index, clock: SettableClock
) -> None:
    engine.names = {CONSUMER}
    assert_alive(life, CONSUMER, INGESTER)
    engine.names = set()

    pass_by(clock, 1.0, index)
    assert_alive(life, CONSUMER, INGESTER)
    assert life.is_in_doubt
    pass_by(clock, 3.0, index)

    assert (life(CONSUMER), life(INGESTER)) == (Life.DEAD, Life.ALIVE)


def test_who_takes_his_name_again_within_a_moment_lives(
    life: RemoteLife, engine: Watched, index: Index, clock: SettableClock
) -> None:
    for is_held in (True, False, True, False, True):
        engine.names = {CONSUMER} if is_held else set()
        assert_alive(life, CONSUMER)
        pass_by(clock, 2.0, index)


def test_after_an_outage_nobody_is_dead_before_everybody_has_had_time_to_beat(
    life: RemoteLife, engine: Watched, index: Index, clock: SettableClock
) -> None:
    engine.names = {CONSUMER}
    assert_alive(life, CONSUMER)
    clock.pass_by(500.0)  # the server was down; with its sessions went the names
    engine.number, engine.names = 2, set()

    assert_alive(life, CONSUMER, INGESTER)
    clock.pass_by(3.6)
    assert_alive(life, CONSUMER, INGESTER)
    clock.pass_by(0.6)  # a third of the host's lease is over, and of the consumer's 10 s
    assert (life(CONSUMER), life(INGESTER)) == (Life.ALIVE, Life.DEAD)
    clock.pass_by(5.4)
    assert_alive(life, CONSUMER)
    clock.pass_by(0.6)
    assert life(CONSUMER) is Life.DEAD
    pass_by(clock, 1.0, index)
    engine.names = {CONSUMER}
    assert_alive(life, CONSUMER, INGESTER)


def test_a_janitor_that_does_not_lead_sees_to_its_own_host_alone(
    spool: Spool, settings: Settings, clock: SettableClock
) -> None:
    engine = Led(spool.root / "index.db")
    index = Index(engine)
    jobqueue = JobQueue(spool, index, settings)
    owners = Owners(spool.path("run"), "alpha", Deadly())
    janitor = Janitor(jobqueue, Recovery(jobqueue, owners, clock, "boot"), owners, clock, "me", "boot")
    here = OwnerLock(spool.path("run"), "ingester", "boot", clock.now(), "alpha")
    here.abandon()
    left = submitted(jobqueue, clock.now(), arriver="ingester.2.0123abcd.beta")
    jobqueue.claim("consumer-00.1.0123abcd.beta", None, 1, clock.now())

    engine.is_leader = False
    janitor.look()
    assert not owners.names()
    assert known(index, left).state is State.PROCESSING
    engine.is_leader = True
    janitor.look()

    assert known(index, left).state is State.PENDING
    invariants(spool, index)
    index.close()


class Led(SqliteEngine):
    """An index of several hosts, of which another one leads, or this one."""

    is_leader = True

    def leads(self, duty: str, host: str | None) -> bool:
        """What the test says."""
        return self.is_leader


def known(index: Index, job: Job) -> Job:
    found = index.job(job.id)
    assert found is not None
    return found


class Lively:
    """All the others live."""

    is_in_doubt = False

    def __call__(self, owner: str) -> Life:
        """They do."""
        return Life.ALIVE


class Deadly:
    """All the others are dead."""

    is_in_doubt = False

    def __call__(self, owner: str) -> Life:
        """They are."""
        return Life.DEAD


# -------------------------------------------------------------------- names of hosts


def test_one_name_is_one_machines_while_its_lease_lasts(index: Index, clock: SettableClock) -> None:
    assert SERVED.host
    now = clock.now()
    assert beat(index, Host(SERVED.host, "another boot", now, 30.0))

    with pytest.raises(Unavailable, match="Another machine works on this spool under the name"):
        beat_host(SERVED, index, clock)
    clock.pass_by(30.1)
    beat_host(SERVED, index, clock)
    beat_host(SERVED, index, clock)

    assert HostRows(index.engine).all() == [Host(SERVED.host, boot_id(), clock.now(), SERVED.consume.lease)]


def test_only_others_that_were_heard_of_are_at_work(index: Index, clock: SettableClock) -> None:
    beat_host(replace(SERVED, index="sqlite"), index, clock)
    assert HostRows(index.engine).all() == []

    beat_host(SERVED, index, clock)
    assert beat(index, Host("beta", "boot", clock.now(), 10.0))
    assert others_at_work(SERVED, index, clock) == ["beta"]
    clock.pass_by(10.1)
    assert others_at_work(SERVED, index, clock) == []
