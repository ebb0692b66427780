"""The tree as people look at it."""

from __future__ import annotations

import os

from pqfs.places import PROBE
from pqfs.spool import Spool
from pqfs.tree import Tree
from tests.world import SettableClock


def _counts(tree: Tree) -> dict[str, int]:
    return {branch.path: branch.files for branch in tree.branches()}


def test_every_directory_is_shown_with_its_files_and_those_inside_it(spool: Spool, clock: SettableClock) -> None:
    (spool.root / "inbox" / "a").touch()
    (spool.root / "inbox" / PROBE).touch()
    (spool.root / "done" / "2026-11-22").mkdir()
    (spool.root / "done" / "2026-11-22" / "b").touch()

    found = _counts(Tree(spool.root, clock))

    assert found["inbox"] == 1
    assert found["done/2026-11-22"] == 1


def test_an_output_that_is_a_directory_counts_as_one_output_and_a_queue_as_none(
    spool: Spool, clock: SettableClock
) -> None:
    (spool.root / "outbox" / "20261122T043126.123456Z_0123456789ab_parts").mkdir()
    (spool.root / "outbox" / "mail").mkdir()
    (spool.root / "outbox" / "mail" / "20261122T043127.123456Z_0123456789ab_x").touch()
    tree = Tree(spool.root, clock)

    assert _counts(tree)["outbox"] == 1
    assert [(each.queue, each.name[-5:]) for each in tree.newest_outputs(5)] == [
        ("mail", "9ab_x"), ("default", "parts"),
    ]  # fmt: skip


def test_what_comes_and_goes_is_seen_at_the_next_look(spool: Spool, clock: SettableClock) -> None:
    tree = Tree(spool.root, clock)
    inbox = spool.root / "inbox"
    for number in range(3):
        (inbox / str(number)).touch()
        os.utime(inbox, (number, number))  # a change long ago by the clock, so that the count is kept
        assert _counts(tree)["inbox"] == number + 1
    (inbox / "0").unlink()

    assert _counts(tree)["inbox"] == 2


def test_a_spool_that_is_not_there_has_no_tree(spool: Spool, clock: SettableClock) -> None:
    tree = Tree(spool.root / "elsewhere", clock)

    assert list(tree.branches()) == []
    assert tree.newest_outputs(3) == []
