"""Which barrier is chosen, by what both have cost."""

from __future__ import annotations

import pytest

from pqfs.pace import MeasuredPace, Pace


@pytest.mark.parametrize("kind", [Pace, MeasuredPace])
def test_before_anything_is_measured_a_few_files_are_synced_one_by_one_and_many_at_once(kind: type[Pace]) -> None:
    chosen = [kind().prefers_fsync(files, 3) for files in (1, 2, 3, 256)]

    assert chosen == [True, True, False, False]


@pytest.mark.parametrize(("syncfs", "wanted"), [(0.002, False), (0.5, True)])
def test_the_way_that_was_quicker_lately_is_taken(syncfs: float, wanted: bool) -> None:
    pace = MeasuredPace()
    pace.note_fsync(4, 0.004)
    pace.note_syncfs(100, syncfs)

    assert pace.prefers_fsync(100, 2) is wanted


def test_neighbours_that_begin_to_write_turn_the_choice_and_their_end_turns_it_back() -> None:
    pace = MeasuredPace()
    pace.note_fsync(4, 0.004)
    pace.note_syncfs(100, 0.02)

    for seconds in (1.0, 1.0, 1.0):
        pace.note_syncfs(100, seconds)
    assert pace.prefers_fsync(100, 2)

    for _ in range(30):
        pace.note_syncfs(100, 0.02)
    assert not pace.prefers_fsync(100, 2)


def test_the_other_way_is_tried_now_and_then_and_the_less_often_the_slower_it_is() -> None:
    def trials(slower: float) -> int:
        pace = MeasuredPace()
        pace.note_fsync(1, 0.001)
        pace.note_syncfs(1, 0.004 * slower)
        return sum(not pace.prefers_fsync(1, 3) for _ in range(1000))

    assert trials(1.1) > trials(10.0) > 0
    assert trials(1.1) <= 1000 / 32


def test_a_long_wait_for_few_says_nothing_of_many() -> None:
    pace = MeasuredPace()
    pace.note_fsync(1, 0.001)
    pace.note_syncfs(1, 9.0)

    assert pace.prefers_fsync(1, 3)
    assert not pace.prefers_fsync(1000, 3)


def test_what_both_cost_is_told_in_milliseconds() -> None:
    pace = MeasuredPace()
    assert pace.told() == {}

    pace.note_syncfs(5, 0.02)
    pace.note_fsync(2, 0.004)

    assert pace.told() == {"fsync": pytest.approx(2.0), "syncfs of 15": pytest.approx(20.0)}
