"""What every process shares: asked to end it wakes, its name lives as long as it, its heart goes on beating."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs.errors import IndexBusy, Stale, Unavailable
from pqfs.owners import Life, Owners
from pqfs.runtime import Heartbeat, Pause, Presence, Stop, program_name
from tests.world import SettableClock


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


# -------------------------------------------------------------------- stop


def test_a_request_wakes_whoever_waits() -> None:
    stop = Stop()
    waiting = threading.Thread(target=stop.wait, args=(None,))
    waiting.start()

    stop.request()

    waiting.join(20)
    assert not waiting.is_alive()
    assert stop.requested


def test_a_request_that_came_before_is_not_slept_over() -> None:
    stop = Stop()
    stop.request()

    stop.wait(None)

    assert stop.requested


def test_a_wake_is_no_request() -> None:
    stop = Stop()
    stop.wake()

    stop.wait(None)

    assert not stop.requested
    assert stop.wait(0) == []


def test_a_wait_tells_what_can_be_read_and_ends_in_time() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "wb", 0) as writer:
        assert Stop().wait(-1.0, [reader]) == []
        writer.write(b"!")
        assert Stop().wait(None, [reader]) == [reader.fileno()]
        assert Stop().wait(None, [], [writer]) == []


def test_more_wakes_than_a_pipe_holds_do_no_harm() -> None:
    stop = Stop()

    for _ in range(70_000):
        stop.wake()

    stop.request()
    assert stop.requested


@pytest.fixture
def signals() -> Iterator[None]:
    """Give the signals back as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_are_requests_to_end(number: signal.Signals) -> None:
    stop = Stop()
    stop.listen()

    signal.raise_signal(number)
    stop.wait(None)

    assert stop.requested


# -------------------------------------------------------------------- presence


def test_a_process_has_a_lock_a_bell_and_a_pulse_as_long_as_it_runs(run: Path, clock: SettableClock) -> None:
    with Presence(run, "consumer-00", clock) as me:
        owner = me.identity.owner
        assert Owners(run).life(owner) is Life.ALIVE
        here = {path.name for path in run.iterdir()}
        assert here == {f"{owner}.lock", f"{owner}.bell", "consumer-00.program", "consumer-00.pulse"}

    assert {path.name for path in run.iterdir()} == {"consumer-00.program", "consumer-00.pulse"}


def test_after_an_error_the_lock_file_stays_and_is_free_so_that_it_is_reaped(run: Path, clock: SettableClock) -> None:
    with pytest.raises(RuntimeError), Presence(run, "consumer-00", clock) as me:
        raise RuntimeError("something went wrong")

    assert Owners(run).life(me.identity.owner) is Life.DEAD
    assert (run / f"{me.identity.owner}.lock").exists()
    assert not (run / f"{me.identity.owner}.bell").exists()
    with Presence(run, "consumer-00", clock, patience=0.0):
        pass


def test_a_second_program_of_one_name_is_refused_when_its_patience_is_over(run: Path, clock: SettableClock) -> None:
    with Presence(run, "consumer-00", clock) as first:
        with pytest.raises(Unavailable, match="Another consumer-00 runs"), Presence(run, "consumer-00", clock, 0.1):
            pass
        with Presence(run, "consumer-01", clock, patience=0.0):
            pass
        assert Owners(run).names() == [first.identity.owner]

    with Presence(run, "consumer-00", clock, patience=0.0):
        pass


def test_two_starts_of_one_program_have_two_names(run: Path, clock: SettableClock) -> None:
    names = set()
    for _ in range(2):
        with Presence(run, "consumer-00", clock) as me:
            names.add(me.identity.owner)

    assert len(names) == 2


def test_a_program_is_called_what_its_supervisor_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPERVISOR_PROCESS_NAME", raising=False)
    assert program_name("janitor") == f"janitor-{os.getpid()}"

    monkeypatch.setenv("SUPERVISOR_PROCESS_NAME", "consumer-03")

    assert program_name("consumer") == "consumer-03"


# -------------------------------------------------------------------- heartbeat


def test_a_heart_goes_on_after_a_beat_that_failed() -> None:
    beats = 0
    third = threading.Event()

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == 3:
            third.set()
        raise OSError("the index is busy")

    heart = Heartbeat(0.001, beat)
    heart.start()

    assert third.wait(20)
    heart.stop()
    after = beats
    assert not heart._thread.is_alive()
    assert beats == after


def test_a_heart_that_is_stopped_waits_for_the_beat_under_way() -> None:
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def beat() -> None:
        began.set()
        go_on.wait(20)
        ended.set()

    heart = Heartbeat(0.001, beat)
    heart.start()
    assert began.wait(20)
    stopping = threading.Thread(target=heart.stop)
    stopping.start()
    go_on.set()
    stopping.join(20)

    assert ended.is_set()


def test_a_pause_is_said_once_and_once_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pqfs")
    pause = Pause("sweeping the inbox")

    for _ in range(3):
        pause.blame(OSError(errno.EIO, os.strerror(errno.EIO)))
    pause.say(None)
    pause.say(None)

    assert [message.split()[0] for message in caplog.messages] == ["paused", "resumed"]


def test_a_bug_does_not_hide_in_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    except OSError as error:
        assert Pause("sweeping the inbox").blame(error) is None

    assert "Traceback" in caplog.text


@pytest.mark.parametrize("code", [errno.ESTALE, errno.ENOTCONN])
def test_who_has_a_stale_handle_twice_running_ends_and_begins_with_another(code: int) -> None:
    pause = Pause("sweeping the inbox")

    pause.blame(OSError(code, os.strerror(code)))
    with pytest.raises(Stale):
        pause.blame(OSError(code, os.strerror(code)))


def test_who_waits_for_the_index_in_vain_twice_running_ends_and_begins_anew() -> None:
    """The lock may be its own: an unlock that failed is forgotten by SQLite, and kept by the kernel."""
    pause, busy = Pause("consuming"), IndexBusy("somebody writes")

    pause.blame(busy)
    pause.say(None)
    pause.blame(busy)
    with pytest.raises(IndexBusy):
        pause.blame(busy)
