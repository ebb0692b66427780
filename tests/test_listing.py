"""Pages of jobs: complete, in order, bounded in rows and time, whatever is asked."""

from __future__ import annotations

import pytest

from pqfs.index import Index, Settlement
from pqfs.listing import MOST, NEWEST, Listing, Wanted
from pqfs.model import Arrival, Job, State
from pqfs.naming import JobIds
from pqfs.retry import Budget
from tests.world import EPOCH


@pytest.fixture
def jobs(index: Index) -> list[str]:
    """Ids of 5000 pending jobs, one a second, oldest first; every hundredth is of queue mail."""
    ids = JobIds()
    arrivals = [
        Arrival(ids.next(EPOCH + n), "mail" if n % 100 == 0 else "default", f"{n}.txt".encode(), 1)
        for n in range(5000)
    ]
    with index.transaction():
        for each in arrivals:
            index.insert([each], "arriver", EPOCH)
    return [each.id for each in arrivals]


def _all(index: Index, wanted: Wanted, limit: int = 100) -> list[str]:
    """Every page, one after the other."""
    found, before = list[str](), NEWEST
    while True:
        page = Listing(index).page(wanted, before, limit)
        found += [job.id for job in page.jobs]
        if page.next is None:
            return found
        before = page.next


def _settle(index: Index, job: str, state: State, error: str | None = None) -> Job:
    with index.transaction():
        (leased,) = index.lease([job], "me", EPOCH)
        done = index.settle(Settlement(leased, state, Budget(1, 0, 0), EPOCH, error), EPOCH + 1)
    assert done
    return done


def test_pages_show_every_job_once_newest_first(index: Index, jobs: list[str]) -> None:
    assert _all(index, Wanted()) == jobs[::-1]
    assert _all(index, Wanted(state=State.PENDING)) == jobs[::-1]


def test_a_page_is_never_longer_than_promised(index: Index, jobs: list[str]) -> None:
    assert len(Listing(index).page(Wanted(), limit=10**6).jobs) == MOST


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (Wanted(queue="mail"), range(0, 5000, 100)),
        (Wanted(name="12*.txt"), [n for n in range(5000) if str(n).startswith("12")]),
        (Wanted(name="*7.txt", queue="default"), range(7, 5000, 10)),
        (Wanted(since=EPOCH + 4990), range(4990, 5000)),
        (Wanted(since=EPOCH + 10, until=EPOCH + 20), range(10, 20)),
        (Wanted(name="none"), []),
        (Wanted(state=State.COMPLETED), []),
        (Wanted(state=State.PROCESSING), []),
    ],
)
def test_a_filter_shows_all_that_it_means_and_nothing_else(
    index: Index, jobs: list[str], wanted: Wanted, meant: list[int]
) -> None:
    assert _all(index, wanted, 7) == [jobs[n] for n in meant][::-1]


def test_a_look_whose_time_is_over_says_how_far_it_came_and_goes_on_from_there(index: Index, jobs: list[str]) -> None:
    first = Listing(index).page(Wanted(name="3.txt"), is_over=lambda: True)

    assert (first.jobs, first.is_cut) == ((), True)
    assert first.reached == EPOCH + 3000, "two thousand rows were looked at, the newest ones"
    second = Listing(index).page(Wanted(name="3.txt"), str(first.next), is_over=lambda: True)
    third = Listing(index).page(Wanted(name="3.txt"), str(second.next), is_over=lambda: True)
    assert [job.id for job in third.jobs] == [jobs[3]]
    assert third.next is None or third.is_cut


def test_what_is_counted_anyway_is_not_counted_again(index: Index, jobs: list[str]) -> None:
    assert Listing(index).page(Wanted()).total == 5000
    assert Listing(index).page(Wanted(state=State.PENDING, queue="mail")).total == 50
    assert Listing(index).page(Wanted(name="*")).total is None


def test_states_of_which_there_are_few_are_found_among_many(index: Index, jobs: list[str]) -> None:
    for job in (jobs[5], jobs[4000]):
        _settle(index, job, State.FAILED, "no room")
    with index.transaction():
        index.lease([jobs[6]], "me", EPOCH)

    assert _all(index, Wanted(state=State.FAILED), 1) == [jobs[4000], jobs[5]]
    assert _all(index, Wanted(state=State.FAILED, name="4000*")) == [jobs[4000]]
    assert _all(index, Wanted(state=State.PROCESSING)) == [jobs[6]]


def test_a_group_shows_its_dead_letters_the_last_that_died_first(index: Index, jobs: list[str]) -> None:
    dead = [_settle(index, job, State.FAILED, f"line {n}: no number") for n, job in enumerate(jobs[:5])]
    _settle(index, jobs[10], State.FAILED, "something else")
    group = dead[0].fingerprint

    assert _all(index, Wanted(group=group), 2) == [job.id for job in dead[::-1]]
    assert _all(index, Wanted(group=group, queue="mail")) == [jobs[0]]
    assert _all(index, Wanted(group=group, name="3.txt")) == [jobs[3]]
    assert _all(index, Wanted(group="0123456789ab")) == []
