"""The watch says *look now*: soon when it can, and notices itself when it can not. Real inotify."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, WatchDescriptor

from pqfs.arrivals import ArrivalObserver
from pqfs.watch import Watch
from tests.world import eventually

Watching = Callable[..., Watch]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An inbox."""
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def watching(folder: Path) -> Iterator[Watching]:
    """Arm a watch on the inbox: `watching()`, `watching("polling")`."""
    log = logging.getLogger("watchdog")
    handlers, propagate = log.handlers[:], log.propagate
    armed: list[Watch] = []

    def arm(mode: str = "auto") -> Watch:
        watch = Watch(folder, mode)
        armed.append(watch)
        assert watch.arm()
        watch.hear()
        return watch

    yield arm
    for watch in armed:
        watch.disarm()
    log.handlers[:], log.propagate = handlers, propagate


def heard(watch: Watch, within: float = 20.0) -> bool:
    """Whether the watch knocks within so many seconds."""
    ready, _, _ = select.select([watch], [], [], within)
    return bool(ready) and watch.hear()


@pytest.mark.parametrize("mode", ["auto", "polling"])
def test_an_arrival_knocks(watching: Watching, folder: Path, mode: str) -> None:
    watch = watching(mode)

    (folder / "a").write_bytes(b"1")

    assert heard(watch)


def test_what_is_moved_in_knocks(watching: Watching, folder: Path) -> None:
    (folder.parent / "a").write_bytes(b"1")
    watch = watching()

    (folder.parent / "a").rename(folder / "a")

    assert heard(watch)


def test_the_end_of_a_long_write_knocks(watching: Watching, folder: Path) -> None:
    watch = watching()
    with (folder / "a").open("wb") as file:
        assert heard(watch)
        file.write(b"x" * 10)

    assert heard(watch)


def test_an_arrival_in_a_directory_that_arrived_later_knocks(watching: Watching, folder: Path) -> None:
    watch = watching()
    (folder / "mail").mkdir()
    assert heard(watch)

    def arrive_and_hear() -> bool:
        """The emitter needs a moment to watch the new directory."""
        (folder / "mail" / f"{time.monotonic_ns()}").touch()
        return heard(watch, 0.2)

    assert eventually(arrive_and_hear, "an arrival in the new directory is heard")


def test_what_leaves_does_not_knock_nor_delay_the_next_arrival(watching: Watching, folder: Path) -> None:
    """watchdog holds everything behind a moved-from event for half a second; ours are such moves."""
    for number in range(20):
        (folder / f"old{number}").touch()
    watch = watching()

    delays = []
    for number in range(20):
        (folder / f"old{number}").rename(folder.parent / f"taken{number}")
        before = time.monotonic()
        (folder / f"new{number}").touch()
        assert heard(watch)
        delays.append(time.monotonic() - before)
        while heard(watch, 0.02):
            pass
    (folder / "new0").rename(folder.parent / "taken")

    assert sorted(delays)[len(delays) // 2] < 0.25
    assert not heard(watch, 0.2)


def test_many_arrivals_are_one_knock(watching: Watching, folder: Path) -> None:
    watch = watching()
    for number in range(300):
        (folder / f"{number}").touch()

    assert heard(watch)


# -------------------------------------------------------------------- blindness


def test_a_replaced_inbox_is_noticed_and_watched_anew(watching: Watching, folder: Path) -> None:
    watch = watching()
    assert watch.is_armed

    folder.rename(folder.parent / "old")
    folder.mkdir()

    assert not watch.is_armed
    assert watch.arm()
    watch.hear()
    (folder / "a").touch()
    assert heard(watch)


def test_a_removed_inbox_is_noticed_and_made_again(watching: Watching, folder: Path) -> None:
    watch = watching()

    folder.rmdir()

    assert not watch.is_armed
    assert watch.arm()
    assert folder.is_dir()


@pytest.mark.parametrize("mode", ["auto", "polling"])
def test_a_dead_emitter_thread_is_noticed(watching: Watching, folder: Path, mode: str) -> None:
    watch = watching(mode)
    assert watch._observer is not None
    (emitter,) = watch._observer.emitters

    emitter.stop()
    emitter.join(20.0)

    assert not watch.is_armed
    assert watch.arm()
    watch.hear()
    (folder / "a").touch()
    assert heard(watch)


def test_a_dead_observer_is_noticed(watching: Watching) -> None:
    watch = watching()
    assert watch._observer is not None

    watch._observer.stop()
    watch._observer.join(20.0)

    assert not watch.is_armed


def test_a_disarmed_watch_is_not_armed_and_leaves_no_thread(watching: Watching) -> None:
    before = threading.active_count()
    watch = watching()
    assert threading.active_count() > before

    watch.disarm()
    watch.disarm()

    assert not watch.is_armed
    assert threading.active_count() == before


def test_arming_and_dropping_many_times_keeps_no_descriptor(watching: Watching) -> None:
    watch = watching()
    watch.disarm()
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(20):
        assert watch.arm()
        watch.disarm()

    assert len(os.listdir("/proc/self/fd")) <= before


def test_an_inbox_that_can_not_be_watched_is_told_and_not_fatal(folder: Path) -> None:
    folder.rmdir()
    folder.write_bytes(b"a file")
    watch = Watch(folder, "auto")

    assert not watch.arm()
    assert not watch.is_armed


# -------------------------------------------------------------------- overflow


def test_an_overflow_of_the_kernels_queue_knocks(watching: Watching) -> None:
    """watchdog's only sign of it is a warning in its log: should a release drop that, this fails."""
    watch = watching()
    assert isinstance(watch._observer, ArrivalObserver)

    watch._observer._inotify_fd.handle_event(
        InotifyEvent(WatchDescriptor(-1), InotifyConstants.IN_Q_OVERFLOW, 0, b"")
    )

    assert heard(watch)
    assert watch.is_armed
