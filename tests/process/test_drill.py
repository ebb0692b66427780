"""`pqfs simulate-crash` on a real stack: it kills what it says, tells what comes of it, and loses nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pqfs.owners import Owners
from tests.process.stage import eventually
from tests.process.test_fleet import _drop, _running, _settled
from tests.process.test_supervisor import Place, place
from tests.ptys import Seat
from tests.test_shapes import SHAPES

__all__ = ["place"]
pytestmark = pytest.mark.slow

_FIRST_TIME_WAITS = """
def first_time_waits(context):
    import time
    while context.attempt == 1:
        time.sleep(0.01)
    return b"out"
"""


def _told(place: Place, *arguments: str) -> dict[str, Any]:
    ended = place.pqfs("simulate-crash", "-y", "--json", *arguments)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def _waiting_stack(place: Place, more: str = "") -> str:
    """A stack whose handler waits in its first attempt; the id of a job that runs there."""
    (place.root / "waits.py").write_text(_FIRST_TIME_WAITS)
    handler = "[defaults]\nhandler = { python = 'waits:first_time_waits' }\n"
    (place.root / "pqfs.toml").write_text(handler + more)
    place.up()
    _drop(place, "slow")
    eventually(lambda: _running(place), "it runs", 60.0)
    found: str = json.loads(place.pqfs("jobs", "list", "--json").stdout)["items"][0]["id"]
    return found


def test_a_demo_job_is_interrupted_and_completed_and_its_consumer_comes_back(place: Place) -> None:
    place.up()
    before = {each.program: each.pid for each in Owners(place.run).living()}

    told = _told(place)

    names = [each["name"] for each in told["items"]]
    assert {*SHAPES["pqfs.crash/1"]} == told["items"][0].keys()
    assert set(names) == {"dead", "given back", "again", "ended", "back"}
    assert (told["state"], told["is_well"], told["attempt"]) == ("completed", True, 1)
    after = {each.program: each.pid for each in Owners(place.run).living()}
    assert {name for name in before if before[name] != after[name]} == {told["consumer"]}
    assert before[told["consumer"]] == told["pid"]
    job = json.loads(place.pqfs("jobs", "show", told["job"], "--json").stdout)["items"][0]
    assert (job["state"], job["attempt"], job["crashes"], job["name"]) == ("completed", 2, 1, "drill.txt")
    times = {each["name"]: each["after"] for each in told["items"]}
    assert 0.0 <= times["dead"] <= times["again"] <= times["ended"]
    _settled(place)


def test_a_job_of_ones_own_is_interrupted_in_its_midst(place: Place) -> None:
    job = _waiting_stack(place)

    told = _told(place, job[:30])

    assert (told["job"], told["name"], told["state"]) == (job, "slow", "completed")
    events = json.loads(place.pqfs("audit", "list", "--json").stdout)["items"]
    assert any(each["verb"] == "simulate-crash" and job in each["before"] for each in events)
    _settled(place)


def test_the_last_crash_of_a_job_is_refused_and_nothing_without_a_yes(place: Place) -> None:
    job = _waiting_stack(place, "max_crashes = 1\n")
    before = _pids(place)

    refused = place.pqfs("simulate-crash", job, "-y")
    assert refused.returncode == 1
    assert "would make it unprocessable" in refused.stderr
    assert place.pqfs("simulate-crash", job).returncode == 1
    assert _pids(place) == before
    assert place.pqfs("jobs", "cancel", "-y", job).returncode == 0

    ended = place.pqfs("simulate-crash", job, "-y")
    assert ended.returncode == 3
    assert "is cancelled" in ended.stderr
    assert place.pqfs("simulate-crash", "--timeout", "0.2s", "-y").returncode == 3
    assert _pids(place) == before
    _settled(place)


def _pids(place: Place) -> dict[str, int]:
    return {each.program: each.pid for each in Owners(place.run).living()}


def test_without_a_stack_there_is_nothing_to_kill(tmp_path: Path, place: Place) -> None:
    assert place.pqfs("init").returncode == 0

    ended = place.pqfs("simulate-crash", "-y")

    assert ended.returncode == 5
    assert "No consumer is alive" in ended.stderr


def test_a_person_is_asked_before_anything_is_killed(place: Place) -> None:
    job = _waiting_stack(place)
    before = _pids(place)
    with Seat(place.root, "simulate-crash", job) as seat:
        seat.shows("one of 3 crashes (0 so far)")
        seat.shows("[y/N]")
        seat.press("n\n")
        assert seat.ends() == 3
    assert _pids(place) == before

    with Seat(place.root, "simulate-crash", job) as seat:
        seat.shows("[y/N]")
        seat.press("y\n")
        assert "killed consumer-0" in seat.shows("the job is completed")
        assert seat.ends() == 0
    _settled(place)
