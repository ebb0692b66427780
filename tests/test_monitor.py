"""`pqfs monitor` as a person meets it: a real terminal, real keys; and in a pipe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from pqfs.model import Kind, Outcome, State
from pqfs.wiring import App
from tests.opened import consumer, live, run
from tests.ptys import Seat
from tests.shell import Shell
from tests.world import eventually, invariants, submitted

_UP, _DOWN = "\033[A", "\033[B"


def _dead(app: App, name: bytes, error: str) -> str:
    """A job that has died of this."""
    job = submitted(app.jobqueue, app.clock.now(), name)
    (claimed,) = app.jobqueue.claim("consumer.0.aa", ["default"], 1, app.clock.now())
    assert app.spool.start(claimed)
    app.jobqueue.end(claimed, Outcome(Kind.PERMANENT, error, started_at=app.clock.now()), app.clock.now())
    return job.id


def test_it_shows_the_spool_alive_and_gives_the_terminal_back(shell: Shell) -> None:
    with Seat(shell.root, "monitor") as seat:
        assert "not-running" in seat.shows("q quit")
        assert "pending 0" in seat.screen()

        job = shell.submit("note.txt")

        seat.shows("pending 1")
        shell("jobs", "cancel", "-y", job)
        seat.shows("cancelled 1")
        assert seat.modes() != seat.before
        seat.press("q")
        assert seat.ends() == 0
        assert seat.modes() == seat.before
        assert seat.received.rstrip().endswith("\033[?1049l")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_gives_the_terminal_back(shell: Shell, number: signal.Signals) -> None:
    with Seat(shell.root, "monitor") as seat:
        seat.shows("q quit")
        seat.process.send_signal(number)

        assert seat.ends() == 0
        assert seat.modes() == seat.before


def test_a_dead_letter_is_retried_by_its_group_once_the_person_says_yes(shell: Shell) -> None:
    app = shell.app()
    lame = [_dead(app, b"a", "page 7 is torn"), _dead(app, b"b", "page 12 is torn")]
    other = _dead(app, b"c", "no ink")
    with Seat(shell.root, "monitor") as seat:
        assert "2 x  default" in seat.shows("NEWEST ERRORS")
        seat.press("r")
        seat.shows("Select an error.")
        seat.press(_DOWN)
        while "> " not in next(row for row in seat.screen().splitlines() if "is torn" in row):
            seat.press("j")
            seat.listen(0.2)
        seat.press("r")
        seat.shows("is torn? y/n")
        seat.press("n")
        seat.shows("Nothing was changed.")
        assert shell.state(lame[0]) == "failed"

        seat.press("r")
        seat.shows("y/n")
        seat.press("y")

        seat.shows("Waiting again: 2 of them.")
        assert [shell.state(job) for job in (*lame, other)] == ["pending", "pending", "failed"]
        seat.press("q")
        assert seat.ends() == 0
    assert app.index.events(lame[0])[-1].reason == "from the monitor"
    invariants(app.spool, app.index)
    app.close()


def test_the_job_that_a_consumer_runs_is_cancelled(shell: Shell) -> None:
    app = shell.app()
    lock = live(app, "consumer-00")
    consumer(app, lock.name)
    job = submitted(app.jobqueue, app.clock.now(), b"slow\x1b[31m.txt")
    (claimed,) = app.jobqueue.claim(lock.name, ["default"], 1, app.clock.now())
    app.spool.start(claimed)
    run(app, lock.name, job.id, claimed.attempt)
    with Seat(shell.root, "monitor") as seat:
        assert "slow%1B[31m.txt" in seat.shows("consumer-00")
        seat.press("c")
        seat.shows("Select a consumer that runs a job.")
        seat.press(f"{_DOWN}{_DOWN}c")
        assert "which consumer-00 runs? y/n" in seat.shows("y/n")
        seat.press("y")
        seat.shows("is being ended")
        seat.press("q")
        assert seat.ends() == 0
    found = app.jobqueue.job(job.id)
    assert (found.state, found.cancel_by) == (State.PROCESSING, "from the monitor")
    lock.release()
    app.close()


def test_a_queue_is_paused_and_resumed_and_consumers_are_added_and_let_go(shell: Shell) -> None:
    with Seat(shell.root, "monitor") as seat:
        seat.shows("q quit")
        seat.press("p")
        seat.shows("Pause queue default? y/n")
        seat.press("y")
        seat.shows("paused by cli:")
        seat.press("py")
        seat.shows("is open again")

        for key, count in (("+", 3), ("+", 4), ("-", 3)):
            seat.press(key)
            seat.shows(f"Have {count} consumers")
            seat.press("y")
            seat.shows(f"Wanted from the next start on: {count}.")
        seat.press("q")
        assert seat.ends() == 0

    assert sum(each["wanted"] for each in shell.items("consumers", "list")) == 3


@pytest.mark.parametrize("size", [(1, 1), (20, 4), (60, 12), (300, 90)])
def test_it_fits_every_window_and_follows_its_size(shell: Shell, size: tuple[int, int]) -> None:
    app = shell.app()
    for number in range(5):
        _dead(app, b"%d" % number, "x" * 40 * (number + 1) + "\n\t" + "\u4e2d" * 30)
    app.close()
    with Seat(shell.root, "monitor") as seat:
        seat.shows("q quit")

        seat.resize(*size)
        mark = len(seat.received)
        eventually(lambda: seat.listen(0.05) and "\033[2J" in seat.received[mark:], "it is drawn anew")
        seat.listen(0.3)

        rows = seat.screen().splitlines()
        assert len(rows) <= size[1]
        assert all(len(row) <= size[0] for row in rows), rows
        seat.press("?")
        if size[0] > 50:
            seat.shows("quit; nothing stops")
        seat.press("q")
        assert seat.ends() == 0


def test_what_has_not_changed_is_not_drawn_again(shell: Shell) -> None:
    with Seat(shell.root, "monitor", "--every", "0.2s") as seat:
        seat.shows("q quit")
        first, seat.received = len(seat.received), ""

        eventually(lambda: seat.listen(0.1) and len(seat.received) > 60, "the clock goes on")

        assert "\033[2J" not in seat.received
        assert len(seat.received) < first / 2


def test_an_index_that_goes_away_is_told_and_found_again(shell: Shell) -> None:
    index = shell.spool / "index.db"
    with Seat(shell.root, "monitor", "--every", "0.1s") as seat:
        seat.shows("pending 0")
        index.rename(index.with_suffix(".aside"))
        seat.shows("There is no index at")
        index.with_suffix(".aside").rename(index)
        seat.shows("pending 0")
        seat.press("q")
        assert seat.ends() == 0


# -------------------------------------------------------------------- without a terminal


def test_one_look_in_a_pipe_is_plain_text_and_changes_nothing(shell: Shell) -> None:
    job = shell.submit("note.txt")

    done = shell.process("monitor", "--once")

    assert done.returncode == 0
    assert b"\033" not in done.stdout
    assert b"pending 1" in done.stdout
    assert shell.state(job) == "pending"


def test_one_look_as_json_has_what_status_has_and_the_errors(shell: Shell) -> None:
    app = shell.app()
    job = _dead(app, b"a", "page 7 is torn")
    app.close()

    found = shell.json("monitor", "--once")

    assert found["schema"] == "pqfs.monitor/1"
    assert found.keys() - {"errors", "trouble"} == shell.json("status").keys()
    assert found["trouble"] is None
    (error,) = found["errors"]
    assert error.keys() == {"fingerprint", "queue", "count", "error", "last_at", "last_job"}
    assert (error["count"], error["error"], error["last_job"]) == (1, "page 7 is torn", job)
    assert shell("monitor", "--json") == 1
    assert "--json goes with --once" in shell.err


def test_in_a_pipe_it_goes_on_look_after_look(shell: Shell) -> None:
    command = [sys.executable, "-m", "pqfs", "monitor", "--every", "0.1s"]
    with subprocess.Popen(command, cwd=shell.root, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as watching:
        assert watching.stdout
        seen = 0
        while seen < 3:
            seen += watching.stdout.readline().startswith(b"pqfs  ")
        watching.send_signal(signal.SIGINT)
        watching.stdout.read()
        assert watching.wait(30) == 0


def test_without_a_spool_it_says_so(shell: Shell) -> None:
    done = shell.process("--spool", shell.root / "nowhere", "monitor", "--once", "--json")

    assert done.returncode == 0
    assert "is no spool" in json.loads(done.stdout)["trouble"] or os.fsdecode(done.stdout)
