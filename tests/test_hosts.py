"""Several hosts on one index: whose owner is asked for where, and one name for one machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pqfs.clock import boot_id
from pqfs.errors import Unavailable
from pqfs.hosts import RemoteLife, beat_host, others_at_work
from pqfs.index import Consumer, Index
from pqfs.index.hostrows import Host, HostRows
from pqfs.owners import Life, OwnerLock, Owners, host_of
from pqfs.settings import Settings
from tests.world import SettableClock

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
    owners = Owners(tmp_path, "alpha", lambda owner: Life.ALIVE)
    lock = OwnerLock(tmp_path, "ingester", "boot", clock.now(), "alpha")
    assert owners.life(lock.name) is Life.ALIVE
    lock.abandon()

    assert owners.life(lock.name) is Life.DEAD
    assert owners.life("ingester.4194305.0123abcd.alpha") is Life.DEAD  # its lock file is gone, and so is its process
    assert owners.life("ingester.4194305.0123abcd.beta") is Life.ALIVE
    assert Owners(tmp_path, "alpha").life("ingester.4194305.0123abcd.beta") is Life.UNKNOWN


def test_a_consumer_elsewhere_lives_by_its_lease_and_all_else_by_its_hosts(
    index: Index, clock: SettableClock
) -> None:
    life, now = RemoteLife(index, clock), clock.now()
    with index.transaction():
        index.register(
            Consumer("consumer-00.1.0123abcd.beta", "consumer-00", 1, "beta", "boot", None, now, now, 0.0, 30.0, 0)
        )
    assert beat(index, Host("beta", "boot", now, 10.0))

    for passed, consumer, ingester in ((10.0, Life.ALIVE, Life.ALIVE), (1.0, Life.ALIVE, Life.DEAD),
                                       (19.0, Life.ALIVE, Life.DEAD), (1.0, Life.DEAD, Life.DEAD)):  # fmt: skip
        clock.pass_by(passed)
        assert life("consumer-00.1.0123abcd.beta") is consumer
        assert life("ingester.2.0123abcd.beta") is ingester
    assert life("ingester.2.0123abcd.gamma") is Life.UNKNOWN


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
