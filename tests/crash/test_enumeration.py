"""The enumerations of `python -m tests.crash`, bounded; and that they would notice."""

from __future__ import annotations

import pytest

from pqfs.spool import Spool
from tests.crash.duels import duels
from tests.crash.enumeration import PAIRS, POINTS, ROUNDS, Task, run, tasks
from tests.crash.protocols import PROTOCOLS
from tests.databases import SHARES, TURN

QUICK = ("finish_one", "ingest_one_file", "submit_one_file", "redrive_a_dead_letter", "delete_a_completed_job")
MEETINGS = (
    "ingester / janitor looks", "consumer completes / janitor looks", "fail then redrive / delete",
    "release / hold at once",
)  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_no_fault_at_any_effect_loses_or_doubles_anything(name: str, address: str | None) -> None:
    tally = run(Task(POINTS, name, 1), address)

    assert not tally.broken, "\n".join(tally.broken)
    assert tally.counts[POINTS] > 15


@pytest.mark.parametrize("name", MEETINGS)
def test_no_order_of_two_actors_loses_or_doubles_anything(name: str, address: str | None) -> None:
    tally = run(Task(ROUNDS, name, 5), address)

    assert not tally.broken, "\n".join(tally.broken)
    assert tally.counts[ROUNDS] > 10


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "every"), [(POINTS, 1), (PAIRS, 7), (ROUNDS, 15)])
def test_no_enumerated_fault_or_order_loses_or_doubles_anything(kind: str, every: int, address: str | None) -> None:
    broken, tried = list[str](), 0
    todo = [task for task in tasks(every, turn=TURN // SHARES % every) if task.kind == kind]
    for task in todo[TURN % SHARES :: SHARES]:
        tally = run(task, address)
        broken += tally.broken
        tried += tally.counts[kind]

    assert not broken, "\n".join(broken)
    print(f"{tried} {kind}")
    assert tried > (1500 if SHARES == 1 else 40)


def test_every_protocol_and_every_meeting_is_a_task() -> None:
    named = {(task.kind, task.name) for task in tasks(1)}

    assert {name for kind, name in named if kind == ROUNDS} == {duel.name for duel in duels()}
    assert {name for kind, name in named if kind == PAIRS} == {protocol.name for protocol in PROTOCOLS}
    assert len(tasks(1)) == len(named)


def test_an_unsynced_output_is_noticed(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    """A test that can not fail proves nothing: outputs that are committed before they are durable."""
    monkeypatch.setattr(Spool, "barrier", lambda *_: None)

    assert run(Task(POINTS, "finish_one", 1), address).broken
