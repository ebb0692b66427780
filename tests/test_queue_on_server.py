"""The Python API with the index on PostgreSQL: the same contract, and how such a queue is named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pqfs import get_queue
from pqfs.backends import open_queue
from pqfs.errors import IndexGone, Misconfigured
from pqfs.index import Index
from pqfs.interface import Queue
from pqfs.settings import load
from pqfs.spool import Spool
from pqfs.testing import SettableClock
from pqfs.testing.contract import QueueContract
from pqfs.wiring import open_app
from tests.databases import emptied
from tests.world import eventually, invariants

if TYPE_CHECKING:
    from pqfs.index.postgres import PostgresEngine
    from tests.server import Server


@pytest.fixture
def address(server: Server, contract: PostgresEngine) -> str:
    """Where the empty index of this test is."""
    emptied(contract)
    return server.address("contract")


class TestQueueOnServer(QueueContract):
    """Our own backend, with its index on PostgreSQL."""

    @pytest.fixture(autouse=True)
    def _index(self, address: str) -> None:
        self._address = address

    def open(self, folder: Path, clock: SettableClock) -> Queue:
        if not (folder / "spool").exists():
            Spool.create(folder / "spool")
        return open_queue(self._address, clock=clock, flags={"durability": "relaxed"}, spool=folder / "spool")


def test_a_database_names_the_index_and_the_spool_is_the_command_lines(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Spool.create(tmp_path / "mounted")
    monkeypatch.setenv("PQFS_SPOOL", str(tmp_path / "mounted"))

    with get_queue(address) as queue:
        job = queue.enqueue(b"")

    assert len(list((tmp_path / "mounted/ready").iterdir())) == 1
    assert not (tmp_path / "mounted/index.db").exists()
    app = open_app(load({"spool": str(tmp_path / "mounted"), "index": address}, {}))
    assert app.jobqueue.job(job).id == job
    invariants(app.spool, app.index)
    app.close()


def test_the_settings_are_those_beside_the_spool_but_for_the_index(tmp_path: Path, address: str) -> None:
    Spool.create(tmp_path / "spool")
    (tmp_path / "pqfs.toml").write_text("index = 'sqlite'\ndurability = 'relaxed'\n[queues.scans]\npriority = 5\n")

    with get_queue(address, queue="scans", spool=tmp_path / "spool") as queue:
        assert queue.get(queue.enqueue(b"")).priority == 5


def test_the_index_of_another_spool_is_refused(tmp_path: Path, address: str) -> None:
    for name in ("mine", "other"):
        Spool.create(tmp_path / name)
    get_queue(address, spool=tmp_path / "mine").close()
    get_queue(tmp_path / "other").close()

    with pytest.raises(IndexGone, match="another spool"):
        get_queue(address, spool=tmp_path / "other")


def test_two_spools_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="another"):
        get_queue(str(tmp_path / "mine"), spool=tmp_path / "other")


def test_who_leases_is_seen_to_live_by_other_hosts_and_soon_again_when_his_connection_was_lost(
    tmp_path: Path, address: str, server: Server, contract: PostgresEngine
) -> None:
    Spool.create(tmp_path / "spool")
    with get_queue(address, spool=tmp_path / "spool") as queue:
        queue.enqueue(b"")
        leased = queue.dequeue()
        assert leased is not None
        (consumer,) = Index(contract).consumers()
        assert contract.held()(consumer.owner)

        server.run("SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE application_name = 'pqfs'")

        eventually(lambda: contract.held()(consumer.owner), "its name is held again")
        queue.acknowledge(leased)
    assert not contract.held()(consumer.owner)
