"""The audit's chain: every tampering but a whole new chain is told, and the oldest end may be cut."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pqfs.index import Index
from pqfs.index.audit import Audit, Question
from pqfs.index.chain import link
from pqfs.index.sqlite import SqliteEngine
from tests.world import EPOCH

NOW = EPOCH
slow_on_postgres = pytest.mark.parametrize(
    "place", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)


def act(index: Index, count: int, verb: str = "hold", at: float = NOW) -> None:
    with index.transaction():
        for number in range(count):
            index.add_event(at + number, "cli:ann", verb, job=f"job-{number}", queue="mail", reason="because\n\0'")


def tamper(index: Index, sql: str) -> None:
    """Change the database behind the back of pqfs, in a process of its own, as somebody would."""
    if not isinstance(index.engine, SqliteEngine):
        index.engine._session.run(sql)  # type: ignore[attr-defined]
        return
    path = index.engine.path
    code = f"import apsw; apsw.Connection({str(path)!r}).execute({sql!r})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, cwd=Path(__file__).parents[2])


def wrong(index: Index) -> str | None:
    return Audit(index.engine).verify().wrong


@slow_on_postgres
def test_an_untouched_audit_fits(index: Index) -> None:
    assert wrong(index) is None
    act(index, 2500)

    found = Audit(index.engine).verify()

    assert (found.events, found.older, found.wrong, found.is_known) == (2500, 0, None, True)
    assert found.head == Audit(index.engine).records(Question(), None, 1)[0].hash


@pytest.mark.parametrize(
    ("sql", "event", "said"),
    [
        ("UPDATE events SET actor = 'cli:bob' WHERE id = 3", 3, "not what was recorded"),
        ("UPDATE events SET at = at + 0.000001 WHERE id = 1", 1, "not what was recorded"),
        ("UPDATE events SET reason = NULL WHERE id = 6", 6, "not what was recorded"),
        ("UPDATE events SET hash = (SELECT hash FROM events WHERE id = 2) WHERE id = 4", 4, "not what was"),
        ("DELETE FROM events WHERE id = 3", 4, "Event 3 is missing"),
        ("DELETE FROM events WHERE id < 3", 3, "Events 1 to 2 are missing"),
        ("DELETE FROM events WHERE id > 4", 4, "newest events, 5 to 6, are missing"),
        ("INSERT INTO events (id, at, actor, verb) VALUES (7, 0, 'a', 'b')", 7, "not what was recorded"),
        ("INSERT INTO events (id, at, actor, verb) VALUES (-7, 0, 'a', 'b')", None, "added by hand"),
        ("UPDATE events SET id = 100 + id WHERE id IN (2, 3)", 4, "Events 2 to 3 are missing"),
        ("UPDATE chain SET head = 5, head_hash = (SELECT hash FROM events WHERE id = 5)", 6, "not where the chain"),
    ],
)  # fmt: skip
def test_tampering_names_the_first_event_that_does_not_fit(
    index: Index, sql: str, event: int | None, said: str
) -> None:
    act(index, 6)

    tamper(index, sql)

    found = Audit(index.engine).verify()
    assert found.wrong is not None
    assert said in found.wrong
    assert found.event == event


def test_two_events_that_change_places_do_not_fit(index: Index) -> None:
    act(index, 6)

    tamper(index, "UPDATE events SET id = 0 - id WHERE id IN (2, 3)")
    tamper(index, "UPDATE events SET id = 5 + id WHERE id < 0")

    found = Audit(index.engine).verify()
    assert found.wrong is not None
    assert found.event == 2


def test_a_chain_made_anew_fits_and_a_hash_written_down_elsewhere_tells(index: Index) -> None:
    act(index, 3)
    written_down = Audit(index.engine).verify().head
    records = Audit(index.engine).records(Question(), None, 10)[::-1]
    told, changes = "", []
    for record in records:
        row = {name: getattr(record, name) for name in record.__slots__} | {"actor": "cli:eve"}
        told = link(told, row)
        changes.append(f"UPDATE events SET actor = 'cli:eve', hash = '{told}' WHERE id = {record.id}")  # noqa: S608 -- ours
    changes.append(f"UPDATE chain SET head_hash = '{told}'")  # noqa: S608 -- ours
    tamper(index, "; ".join(changes))

    assert wrong(index) is None
    assert not Audit(index.engine).verify(written_down).is_known
    assert Audit(index.engine).verify(told).is_known


@slow_on_postgres
def test_a_hash_that_was_written_down_stays_known_as_the_chain_grows(index: Index) -> None:
    act(index, 3)
    written_down = Audit(index.engine).verify().head

    act(index, 2000)

    assert Audit(index.engine).verify(written_down).is_known


def test_the_oldest_end_may_be_cut_and_the_rest_still_fits(index: Index) -> None:
    act(index, 5)
    act(index, 3, at=NOW + 100)

    with index.transaction():
        assert Audit(index.engine).forget(NOW + 50, 500) == 5
    with index.transaction():
        assert Audit(index.engine).forget(NOW + 50, 500) == 0

    found = Audit(index.engine).verify()
    assert (found.events, found.wrong, found.since_at) == (3, None, NOW + 100)
    act(index, 1)
    assert wrong(index) is None
    tamper(index, "DELETE FROM events WHERE id = 6")
    assert wrong(index) == "Event 6 is missing."


def test_everything_may_be_cut_and_the_chain_goes_on(index: Index) -> None:
    act(index, 5)
    with index.transaction():
        Audit(index.engine).forget(NOW + 50, 500)
    assert wrong(index) is None

    act(index, 2, at=NOW + 100)

    assert Audit(index.engine).verify().events == 2
    assert wrong(index) is None


def test_no_more_is_cut_at_once_than_asked_for_and_never_from_the_middle(index: Index) -> None:
    act(index, 2, at=NOW + 100)
    act(index, 5)  # the clock was set back

    with index.transaction():
        assert Audit(index.engine).forget(NOW + 50, 3) == 0
    with index.transaction():
        assert Audit(index.engine).forget(NOW + 200, 3) == 3


def test_an_event_of_a_transaction_that_failed_leaves_no_link(index: Index) -> None:
    act(index, 2)
    with pytest.raises(RuntimeError), index.transaction():
        index.add_event(NOW, "cli:ann", "hold")
        raise RuntimeError

    act(index, 1)

    assert wrong(index) is None
    assert Audit(index.engine).verify().events == 3


def test_two_who_record_at_once_make_one_chain(index: Index, second_index: Callable[[], Index]) -> None:
    other = second_index()
    for _ in range(20):
        act(index, 1)
        act(other, 1)

    assert Audit(index.engine).verify().events == 40
    assert wrong(other) is None


@pytest.mark.parametrize(
    ("question", "found"),
    [
        (Question(), 4),
        (Question(by="ann"), 2),
        (Question(by="cli:ann"), 2),
        (Question(by="a%"), 0),
        (Question(verb="hold"), 1),
        (Question(job="job-1"), 1),
        (Question(queue="other"), 1),
        (Question(since=NOW + 2), 2),
        (Question(until=NOW + 2), 2),
        (Question(by="ann", verb="hold", queue="other"), 0),
    ],
)
def test_events_are_asked_for(index: Index, question: Question, found: int) -> None:
    with index.transaction():
        index.add_event(NOW, "cli:ann", "hold", job="job-1", queue="mail")
        index.add_event(NOW + 1, "cli:ann", "cancel", job="job-2", queue="mail")
        index.add_event(NOW + 2, "api:bob", "pause", queue="other")
        index.add_event(NOW + 3, "janitor", "delete", queue="mail")

    records = Audit(index.engine).records(question, None, 10)

    assert len(records) == found
    assert [each.id for each in records] == sorted((each.id for each in records), reverse=True)


def test_an_older_index_is_taken_over_with_its_events(index: Index) -> None:
    """What was recorded before there was a chain is not covered, and is counted."""
    tamper(
        index,
        "INSERT INTO events (id, at, actor, verb) VALUES (1, 5, 'a', 'b'), (2, 6, 'a', 'b');"
        "UPDATE chain SET anchor = 2, head = 2",
    )
    act(index, 2)

    found = Audit(index.engine).verify()
    assert (found.older, found.events, found.wrong) == (2, 2, None)
    with index.transaction():
        assert Audit(index.engine).forget(NOW, 500) == 2
    assert wrong(index) is None
