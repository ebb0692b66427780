"""Claims on PostgreSQL begin where the last look has found the first job, and miss nothing that counts."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pqfs.index import Index, Row
from pqfs.index.heads import Heads
from pqfs.model import Job, State
from tests.index.test_contract import NOW, arrive, bring_back, claim, settlement

pytestmark = pytest.mark.parametrize("place", ["postgres"], indirect=True)


class Watched:
    """Heads whose time is set, and what they ask."""

    def __init__(self, index: Index) -> None:
        engine: Any = index.engine
        self._session, self.time = engine._session, 0.0
        self.asked: list[str] = []
        self.heads = Heads(engine._statements, self._run, lambda: self.time)

    def _run(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        self.asked.append("from the head" if "UNION" in sql else "from the beginning")
        found: list[Row] = self._session.run(sql, parameters)
        return found

    def first(self, limit: int = 1) -> list[str]:
        """The ids that it names."""
        return [row[2] for row in self.heads.claimable("default", limit)]


def _line(index: Index, count: int) -> list[str]:
    return [arrive(index, ready_at=NOW - 100 + number).id for number in range(count)]


def test_the_next_look_begins_at_the_first_job_that_the_last_one_has_seen(index: Index) -> None:
    line, watched = _line(index, 9), Watched(index)

    for taken in (0, 3, 6):
        assert watched.first(3) == line[taken : taken + 3]
        claim(index, 3)

    assert watched.asked == ["from the beginning", "from the head", "from the head"]


def test_a_higher_priority_is_seen_at_once(index: Index, second_index: Callable[[], Index]) -> None:
    line, watched = _line(index, 3), Watched(index)
    assert watched.first() == line[:1]

    urgent = arrive(second_index(), priority=7)

    assert watched.first(2) == [urgent.id, line[0]]
    assert watched.asked[-1] == "from the head"


def test_what_comes_before_the_head_is_seen_a_second_later_at_most(
    index: Index, second_index: Callable[[], Index]
) -> None:
    line, watched = _line(index, 3), Watched(index)
    watched.first()
    earlier = arrive(second_index(), ready_at=NOW - 1000)

    watched.time = 0.99
    assert watched.first() == line[:1]
    watched.time = 1.0
    assert watched.first() == [earlier.id]


def test_who_finds_fewer_than_he_asked_for_looks_from_the_beginning(
    index: Index, second_index: Callable[[], Index]
) -> None:
    line, watched = _line(index, 2), Watched(index)
    watched.first()
    earlier = arrive(second_index(), ready_at=NOW - 1000)

    assert watched.first(3) == [earlier.id, *line]


def test_what_the_session_itself_gives_back_is_next_again(index: Index) -> None:
    _line(index, 5)
    (job,) = claim(index)
    claim(index)
    with index.transaction():
        settled = index.settle(settlement(job, State.PENDING, ready_at=job.ready_at), NOW)
    assert settled is not None
    bring_back(index, settled)

    assert [each.id for each in claim(index)] == [job.id]


def test_all_are_claimed_once_whatever_comes_between(index: Index, second_index: Callable[[], Index]) -> None:
    pick, other = random.Random(5), second_index()
    sent, claimed = set[str](), list[Job]()

    for _ in range(25):
        which = pick.choice([index, other])
        sent |= {
            arrive(which, priority=pick.choice([0, 0, 3]), ready_at=NOW - pick.randrange(100)).id for _ in range(3)
        }
        claimed += claim(pick.choice([index, other]), pick.choice([1, 2, 5]))
    while more := claim(index, 8):
        claimed += more

    assert len(claimed) == len(sent)
    assert {job.id for job in claimed} == sent
