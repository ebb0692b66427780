"""What the model of the disk forgets when power is lost, and what it may not forget."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.simulation.disk import Disk, Node

ALL, NONE, FIRST, ARRIVALS = 0, 1, 2, 3  # what survives of pending changes


def chosen(*numbers: int) -> Iterator[int]:
    yield from numbers
    while True:
        yield 0


def lose(disk: Disk, *numbers: int) -> None:
    """Lose power, with these choices and then the first of each."""
    choices = chosen(*numbers)
    disk.lose_power(lambda below: min(next(choices), below - 1))


@pytest.fixture
def disk() -> Disk:
    """Two durable directories, a/ and b/, and a durable file a/x."""
    made = Disk()
    for name in (b"a", b"b"):
        made.create(made.root, name, Node(is_directory=True))
    made.create(made.root.entries[b"a"], b"x", Node(data=b"bytes"))
    made.sync_all()
    return made


def names(disk: Disk) -> set[str]:
    return {
        f"{above.decode()}/{name.decode()}"
        for above, directory in disk.root.entries.items()
        for name in directory.entries
    }


def move(disk: Disk, name: bytes = b"x") -> None:
    disk.move(disk.root.entries[b"a"], name, disk.root.entries[b"b"], name)


def test_a_move_that_was_not_synced_may_be_undone(disk: Disk) -> None:
    move(disk)
    lose(disk, NONE)
    assert names(disk) == {"a/x"}


def test_a_move_that_was_not_synced_may_last(disk: Disk) -> None:
    move(disk)
    lose(disk, ALL)
    assert names(disk) == {"b/x"}


def test_a_move_that_was_not_synced_may_leave_both_names_of_one_file(disk: Disk) -> None:
    move(disk)
    lose(disk, ARRIVALS)
    assert names(disk) == {"a/x", "b/x"}
    assert disk.root.entries[b"a"].entries[b"x"] is disk.root.entries[b"b"].entries[b"x"]


def test_a_sync_of_the_target_alone_leaves_both_names_possible(disk: Disk) -> None:
    move(disk)
    disk.sync_directory(disk.root.entries[b"b"])
    lose(disk, NONE)
    assert names(disk) == {"a/x", "b/x"}


def test_a_sync_of_the_source_brings_the_arrival_with_it(disk: Disk) -> None:
    move(disk)
    disk.sync_directory(disk.root.entries[b"a"])
    lose(disk, NONE)
    assert names(disk) == {"b/x"}


def test_a_synced_move_can_not_be_undone(disk: Disk) -> None:
    move(disk)
    disk.sync_all()
    lose(disk, NONE)
    assert names(disk) == {"b/x"}


def test_whatever_survives_a_moved_file_is_always_somewhere() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        disk = Disk()
        for name in (b"a", b"b", b"c"):
            disk.create(disk.root, name, Node(is_directory=True))
        disk.create(disk.root.entries[b"a"], b"x", Node())
        disk.sync_all()
        fresh = Node(is_directory=True)
        disk.create(disk.root.entries[b"c"], b"new", fresh)
        move(disk)
        disk.move(disk.root.entries[b"b"], b"x", fresh, b"x")
        if chance.random() < 0.5:
            disk.sync_directory(disk.root.entries[chance.choice([b"a", b"b", b"c"])])
        disk.lose_power(chance.randrange)
        found = names(disk)
        moved = b"new" in disk.root.entries[b"c"].entries and disk.root.entries[b"c"].entries[b"new"].entries
        assert "a/x" in found or "b/x" in found or moved, (seed, found)


def test_a_directory_is_not_removed_without_what_was_removed_in_it(disk: Disk) -> None:
    disk.remove(disk.root.entries[b"a"], b"x")
    disk.remove(disk.root, b"a")
    disk.sync_directory(disk.root)
    lose(disk, NONE)
    assert set(disk.root.entries) == {b"b"}


def test_a_replacement_inside_one_directory_is_whole_or_has_not_happened(disk: Disk) -> None:
    above = disk.root.entries[b"a"]
    disk.create(above, b"y", Node(data=b"new"))
    disk.sync_file(above.entries[b"y"])
    disk.sync_directory(above)
    disk.move(above, b"y", above, b"x")
    for survivors, left in ((NONE, {"a/x", "a/y"}), (ALL, {"a/x"})):
        move_back = survivors
        lose(disk, move_back)
        assert names(disk) == left
        if survivors == NONE:
            disk.move(disk.root.entries[b"a"], b"y", disk.root.entries[b"a"], b"x")
    assert disk.root.entries[b"a"].entries[b"x"].data == b"new"


@pytest.mark.parametrize(("kind", "left"), [(0, b"bytes of y"), (1, b""), (2, b"byt"), (3, b"\0" * 10)])
def test_bytes_that_were_not_synced_may_be_missing(disk: Disk, kind: int, left: bytes) -> None:
    disk.create(disk.root.entries[b"a"], b"y", Node(data=b"bytes of y"))
    lose(disk, ALL, kind, 3)
    assert disk.root.entries[b"a"].entries[b"y"].data == left


def test_a_sync_of_a_directory_saves_the_name_and_not_the_bytes(disk: Disk) -> None:
    disk.create(disk.root.entries[b"a"], b"y", Node(data=b"bytes of y"))
    disk.sync_directory(disk.root.entries[b"a"])
    lose(disk, NONE, 1)
    assert disk.root.entries[b"a"].entries[b"y"].data == b""


def test_a_sync_of_a_file_saves_the_bytes_and_not_the_name(disk: Disk) -> None:
    disk.create(disk.root.entries[b"a"], b"y", Node(data=b"bytes of y"))
    disk.sync_file(disk.root.entries[b"a"].entries[b"y"])
    lose(disk, NONE)
    assert names(disk) == {"a/x"}


def test_bytes_whose_sync_failed_are_not_saved_by_another_sync(disk: Disk) -> None:
    node = Node(data=b"bytes of y")
    disk.create(disk.root.entries[b"a"], b"y", node)
    disk.spoil(node)
    disk.sync_file(node)
    disk.sync_all()
    lose(disk, 0)
    assert disk.root.entries[b"a"].entries[b"y"].data == b""
