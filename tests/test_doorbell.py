"""Bells wake who waits; a ring is never lost while somebody listens, and never blocks the one who rings."""

from __future__ import annotations

import os
import select
from pathlib import Path

from pqfs.doorbell import Bell, ring


def test_a_ring_wakes_every_listener_once(tmp_path: Path) -> None:
    bells = [Bell(tmp_path, "one"), Bell(tmp_path, "two")]

    ring(tmp_path)

    assert select.select(bells, [], [], 10.0)[0] == bells
    assert [bell.hear() for bell in bells] == [True, True]
    assert [bell.hear() for bell in bells] == [False, False]
    assert select.select(bells, [], [], 0)[0] == []
    for bell in bells:
        bell.close()


def test_many_rings_are_one_and_a_full_bell_does_not_block(tmp_path: Path) -> None:
    bell = Bell(tmp_path, "one")
    writer = os.open(tmp_path / "one.bell", os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(writer, b"!" * 4096)
    except BlockingIOError:
        pass

    ring(tmp_path)

    assert bell.hear()
    os.close(writer)
    bell.close()


def test_a_bell_whose_owner_died_does_not_block_nor_fail(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "dead.bell")
    (tmp_path / "gone.bell").symlink_to("nowhere")
    bell = Bell(tmp_path, "alive")

    ring(tmp_path)

    assert bell.hear()
    bell.close()


def test_a_closed_bell_is_gone(tmp_path: Path) -> None:
    bell = Bell(tmp_path, "one")

    bell.close()

    assert list(tmp_path.iterdir()) == []
    ring(tmp_path)


def test_where_there_is_no_run_directory_nobody_listens(tmp_path: Path) -> None:
    ring(tmp_path / "nowhere")


def test_only_the_listeners_of_one_program_are_woken_if_so_wanted(tmp_path: Path) -> None:
    consumer, janitor = Bell(tmp_path, "consumer-00.1.0"), Bell(tmp_path, "janitor.2.0")

    ring(tmp_path, "consumer")

    assert (consumer.hear(), janitor.hear()) == (True, False)
    consumer.close()
    janitor.close()
