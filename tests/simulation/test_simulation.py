"""Histories in which everything happens at once and everything goes wrong: nothing is lost, nothing doubled.

`python -m tests.simulation --history SEED` shows a failing one. What found by it was mended has a test of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pqfs.durations import Size
from pqfs.model import State
from pqfs.settings import QueueSettings, Settings
from tests.crash.harness import finish_all
from tests.databases import SHARES, TURN
from tests.simulation.engine import SimulatedIndex
from tests.simulation.ground import Ground, ground
from tests.simulation.history import History
from tests.simulation.many import play_many, play_one
from tests.simulation.universe import Universe, Worker
from tests.world import submitted

NOTHING, ARRIVALS_ONLY = 1, 3  # what survives of what is pending
SMALL = Settings(defaults=QueueSettings(max_size=Size(100)))


@pytest.fixture(scope="module")
def stage(address: str | None) -> Iterator[Ground]:
    with ground(address) as found:
        yield found


@pytest.fixture(scope="module")
def here(stage: Ground) -> Path:
    return stage.root


@pytest.fixture(scope="module")
def engine(stage: Ground) -> SimulatedIndex:
    return stage.index


def test_a_hundred_histories_lose_nothing_and_double_nothing(address: str | None) -> None:
    tally = play_many(range(1, 101), address)

    assert not tally.broken, "\n".join(tally.broken)
    assert tally.counts["POWER"] > 15
    assert tally.counts["KILL"] > 15


@pytest.mark.slow
def test_five_thousand_histories_lose_nothing_and_double_nothing(address: str | None) -> None:
    """A share of them on PostgreSQL, of seeds that are new with each turn."""
    first, histories = 1001 + 5000 * TURN, 5000 // SHARES
    tally = play_many(range(first, first + histories), address)

    assert not tally.broken, "\n".join(tally.broken)
    print(f"{tally.histories} histories: {tally.details}")
    assert len(tally.points) > (200 if histories == 5000 else 100)


def test_the_same_seed_is_the_same_history(here: Path, engine: SimulatedIndex) -> None:
    for seed in range(1, 30):
        traces = [play_one(here / "world", engine, seed)[0].trace for _ in range(2)]
        assert traces[0] == traces[1], seed


def test_a_history_without_faults_completes_what_arrives(here: Path, engine: SimulatedIndex) -> None:
    for seed in range(20):
        choices = chain([0], map(random.Random(seed).randrange, repeat(1 << 30)))  # the first is the rate of faults
        history = History(here / "world", engine, partial(_next_below, choices))
        history.play()
        assert not history.points


def _next_below(choices: Iterator[int], below: int) -> int:
    return next(choices) % below


def play_short(here: Path, engine: SimulatedIndex, draw: Callable[[int], int]) -> None:
    history = History(here / "world", engine, draw)
    try:
        history.play()
    except AssertionError as error:
        error.add_note("\n".join(history.trace))
        raise


@settings(
    max_examples=80, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink), print_blob=False,
)  # fmt: skip
@given(data=st.data())
def test_whatever_is_chosen_breaks_nothing_and_what_would_is_made_short(
    data: Any, here: Path, engine: SimulatedIndex
) -> None:
    """Every choice is hypothesis's, and nought is the harmless one: a history that fails shrinks to a short one."""
    play_short(here, engine, lambda below: data.draw(st.integers(0, max(0, below - 1))))


# -------------------------------------------------------------------- losses of power, one by one


@pytest.fixture
def lost(tmp_path: Path, engine: SimulatedIndex) -> Iterator[Callable[[int], Universe]]:
    """Makes universes in which a loss of power keeps this kind of what is pending."""
    made: list[Universe] = []

    def make(survivors: int) -> Universe:
        root = tmp_path / f"{len(made)}" / "spool"
        made.append(Universe(root, SMALL, engine, lambda below: min(survivors, below - 1)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def completed(universe: Universe) -> str:
    """The id of a job that has just been completed, its consumer gone."""
    submitter = universe.owner("submit")
    job = submitted(universe.jobqueue, universe.clock.now(), b"a.txt", b"data", submitter)
    universe.leave(submitter)
    worker = Worker(universe)
    worker.work()
    worker.leave()
    return job.id


def test_a_deleted_job_stays_deleted_when_power_is_lost(lost: Callable[[int], Universe]) -> None:
    """Found by the simulation: old names of its payload came back, without a row, and were run again."""
    universe = lost(ARRIVALS_ONLY)
    job = universe.jobqueue.job(completed(universe))
    assert universe.jobqueue.delete(job, "ann", None, universe.clock.now())

    universe.lose_power()
    universe.recover()

    assert universe.jobs() == {}
    assert list(universe.spool.payloads()) == []
    assert universe.spool.entries("outbox") == [job.output]


def test_a_completed_job_is_completed_when_power_is_lost(lost: Callable[[int], Universe]) -> None:
    for survivors in range(5):
        universe = lost(survivors)
        job = completed(universe)

        universe.lose_power()
        universe.recover()

        universe.invariants()
        finish_all(universe)
        assert universe.jobs()[job].state is State.COMPLETED
        assert universe.jobs()[job].attempt == 1


def test_what_was_refused_has_its_reason_when_power_is_lost(lost: Callable[[int], Universe]) -> None:
    """Found by the simulation: the object's new name had lasted, its reason had not."""
    for survivors in range(5):
        universe = lost(survivors)
        universe.drop(b"large.txt", b"x" * 101)
        assert universe.ingester().sweep().rejected == 1

        universe.lose_power()

        names = universe.spool.entries("rejected")
        assert [name for name in names if name.endswith(".reason.json")], survivors


def test_a_redriven_job_is_redriven_when_power_is_lost(lost: Callable[[int], Universe]) -> None:
    """Found by the simulation: its row said ready/, its payload was in dead/ again."""
    for survivors in range(5):
        universe = lost(survivors)
        submitter = universe.owner("submit")
        job = submitted(universe.jobqueue, universe.clock.now(), b"a.txt", b"data", submitter)
        dead = universe.jobqueue.fail(job, "ann", None, universe.clock.now())
        universe.disk.sync_all()
        universe.jobqueue.redrive(dead, "ann", None, universe.clock.now())

        universe.lose_power()
        universe.recover()

        universe.invariants()
        assert universe.jobs()[job.id].state is State.PENDING


def test_an_input_that_was_let_go_is_let_go_again_when_power_is_lost(lost: Callable[[int], Universe]) -> None:
    universe = lost(NOTHING)
    job = completed(universe)
    universe.disk.sync_all()
    universe.clock.pass_by(30 * 86400.0)
    universe.janitor().purge()

    universe.lose_power()
    universe.recover()
    universe.janitor().purge()

    assert list(universe.spool.payloads()) == []
    assert universe.jobs()[job].state is State.COMPLETED


def test_a_claim_that_a_loss_of_power_took_back_costs_the_job_nothing(lost: Callable[[int], Universe]) -> None:
    for survivors in range(5):
        universe = lost(survivors)
        submitter = universe.owner("submit")
        job = submitted(universe.jobqueue, universe.clock.now(), b"a.txt", b"data", submitter)
        worker = Worker(universe)
        (leased,) = worker.claim()
        assert worker.start(leased)

        universe.lose_power()
        universe.recover()

        universe.invariants()
        found = universe.jobs()[job.id]
        assert (found.state, found.failures, found.crashes) == (State.PENDING, 0, 0)
        finish_all(universe)
        assert universe.jobs()[job.id].state is State.COMPLETED
