"""Power is lost at any moment on three real file systems: what was promised is still true after the reboot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.power.campaign import Plan, Tried, campaign
from tests.power.disk import missing
from tests.power.disturbance import io_errors
from tests.power.filesystems import FILE_SYSTEMS
from tests.power.mutants import Mutant

pytestmark = [pytest.mark.root, pytest.mark.slow]
EVERY = tuple(FILE_SYSTEMS)


@pytest.fixture(autouse=True)
def _disks() -> Iterator[None]:
    if reason := missing():
        pytest.skip(reason)
    yield


def broken(tried: list[Tried]) -> list[str]:
    return [sentence for each in tried for sentence in each.sentences()]


@pytest.mark.parametrize("name", EVERY)
def test_what_was_promised_survives_every_loss_of_power(name: str) -> None:
    tried = campaign(Plan(states=120, seed=101, file_systems=(name,), jobs=2))

    assert broken(tried) == []
    assert sum(each.states for each in tried) == 120


def test_the_index_may_lie_on_another_file_system_than_the_spool() -> None:
    assert broken(campaign(Plan(states=120, seed=201, file_systems=EVERY, index="other", jobs=2))) == []


def test_without_syncs_something_is_lost_so_this_rig_can_fail() -> None:
    assert broken(campaign(Plan(states=21, seed=301, file_systems=EVERY, durable=False, jobs=2)))


def test_without_the_barrier_of_ingest_a_job_may_be_torn() -> None:
    tried = campaign(Plan(states=40, seed=401, file_systems=("ext4",), mutant=Mutant.NO_INGEST_BARRIER, jobs=2))

    assert any(each.kinds()["torn"] for each in tried)


@pytest.mark.parametrize("index", ["same", "other"])
def test_a_disk_that_refuses_writes_and_flushes_loses_and_tears_nothing_that_was_promised(index: str) -> None:
    tried = io_errors(Plan(states=48, seed=501, file_systems=EVERY, index=index, jobs=2))

    assert broken(tried) == []
    assert sum((each.endings for each in tried), Counter())["VolumeFault"]


@pytest.mark.parametrize("mutant", [Mutant.SYNC_AGAIN, Mutant.ADOPT_IN_PLACE])
def test_a_second_sync_lies_and_what_a_failed_one_left_must_be_copied(mutant: Mutant) -> None:
    plan = Plan(states=64, seed=601, file_systems=("ext4",), mutant=mutant, jobs=2)

    assert any(each.kinds()["torn"] for each in io_errors(plan))
