"""The watch says *look now*: soon when it can, and notices itself when it can not. Real inotify."""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import FileClosedEvent, FileCreatedEvent
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, WatchDescriptor

from pqfs.arrivals import ArrivalObserver
from pqfs.places import PROBE
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
    """Arm a watch on the inbox: `watching()`."""
    log = logging.getLogger("watchdog")
    handlers, propagate = log.handlers[:], log.propagate
    armed: list[Watch] = []

    def arm() -> Watch:
        watch = Watch(folder, "inotify")
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


def test_an_arrival_knocks(watching: Watching, folder: Path) -> None:
    watch = watching()

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


def test_a_dead_emitter_thread_is_noticed(watching: Watching, folder: Path) -> None:
    watch = watching()
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
    watch = Watch(folder, "inotify")

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


# -------------------------------------------------------------------- the probe


class Deaf:
    """Takes the place of what hears events: nothing arrives any more, though every thread lives."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._hearing = watch._knock.dispatch
        watch._knock.dispatch = lambda event: None  # type: ignore[method-assign]

    def hear_again(self) -> None:
        """Let events through."""
        self.watch._knock.dispatch = self._hearing  # type: ignore[method-assign]


def seen(watch: Watch) -> bool:
    """Whether the last probe was seen; the watch must be armed all the while."""
    assert watch.is_armed
    return watch._probed_at is None


def test_a_probe_is_seen_and_wakes_nobody(watching: Watching, folder: Path) -> None:
    watch = watching()
    for _ in range(3):
        watch.probe()
        assert eventually(lambda: seen(watch), "the probe is seen")

    assert watch.blindness is None
    assert not heard(watch, 0.1)
    (folder / "a").touch()
    assert heard(watch), "and what arrives still wakes"


def test_an_unseen_probe_ends_the_watch_and_a_seen_one_ends_the_blindness(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pqfs.watch.SEEN_WITHIN", 0.05)
    watch = watching()
    deaf = Deaf(watch)
    watch.probe()
    eventually(lambda: not watch.is_armed, "the watch is found blind")
    assert watch.blindness == "its probe was not seen within 0.05 s"

    monkeypatch.setattr("pqfs.watch.SEEN_WITHIN", 2.0)
    deaf.hear_again()
    assert watch.arm()
    assert watch.blindness, "armed is not yet seeing"
    watch.probe()
    assert eventually(lambda: seen(watch), "the probe is seen")
    assert watch.blindness is None


def test_a_probe_seen_too_late_is_one_that_was_not_seen(watching: Watching) -> None:
    watch = watching()
    Deaf(watch)
    watch.probe()
    assert watch._probed_at is not None

    watch._knock.seen_at = watch._probed_at + 2.5

    assert not watch.is_armed


def test_the_probe_of_another_hosts_ingester_makes_nobody_blind(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both touch one file: the other one's sight, seconds later, stood for one's own, which was late then."""
    watch = watching()
    watch.probe()
    eventually(lambda: watch._knock.seen_at, "the probe is seen")
    later = time.monotonic() + 2.5

    with monkeypatch.context() as patched:
        patched.setattr("pqfs.watch.time.monotonic", lambda: later)
        watch._knock.dispatch(FileClosedEvent(PROBE))

    assert watch.is_armed
    assert watch.blindness is None


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_somebody_put_in_the_probes_place_is_not_followed(watching: Watching, folder: Path, kind: str) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(b"secret")
    probe = folder / PROBE
    if kind == "link":
        probe.symlink_to(secret)
    else:
        os.mkfifo(probe)
    watch = watching()

    watch.probe()

    assert eventually(lambda: seen(watch), "the probe is seen")
    assert probe.is_file() and not probe.is_symlink()
    assert secret.read_bytes() == b"secret"


def test_a_probe_that_can_not_be_touched_is_told_and_the_watch_stays(watching: Watching, folder: Path) -> None:
    (folder / PROBE).mkdir()
    watch = watching()

    watch.probe()

    assert watch.is_armed
    assert watch.blindness == f"its probe {PROBE} can not be touched: Is a directory"

    (folder / PROBE).rmdir()
    watch._next_probe = 0.0
    watch.probe()
    assert eventually(lambda: seen(watch), "the probe is seen")
    assert watch.blindness is None


def test_a_full_disk_is_no_blindness(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = watching()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    watch.probe()
    monkeypatch.undo()

    assert watch.is_armed
    assert watch.blindness is None


def test_one_who_polls_asks_nobody_to_watch_and_has_nothing_to_try(folder: Path) -> None:
    before, watch = threading.active_count(), Watch(folder, "polling")

    assert not watch.arm()
    watch.probe()

    assert (watch.is_armed, watch.blindness, threading.active_count()) == (False, None, before)
    assert list(folder.iterdir()) == []


def test_the_probe_goes_with_the_watch(watching: Watching, folder: Path) -> None:
    watch = watching()
    watch.probe()
    assert [path.name for path in folder.iterdir()] == [PROBE]

    watch.close()

    assert list(folder.iterdir()) == []


# -------------------------------------------------------------------- what would end watchdog's threads


def test_no_event_ends_the_dispatching_thread(watching: Watching, folder: Path) -> None:
    """An exception in a handler ends watchdog's dispatcher for good, without a word."""
    watch = watching()
    assert watch._observer is not None
    (emitter,) = watch._observer.emitters
    event = FileCreatedEvent("x")
    event.src_path = None  # type: ignore[assignment]
    emitter.queue_event(event)
    hearing, watch._knock._descriptor = watch._knock._descriptor, -1
    (folder / "lost").touch()
    eventually(lambda: watch._observer and watch._observer.event_queue.empty(), "both were dispatched")

    watch._knock._descriptor = hearing
    (folder / "a").touch()

    assert heard(watch)
    assert watch.is_armed
