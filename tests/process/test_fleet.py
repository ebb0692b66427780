"""More and fewer consumers on a real stack: by name, for queues, under load, across every kind of end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from pqfs.owners import Owners
from pqfs.settings import load
from pqfs.slot import read_slot
from pqfs.wiring import open_app
from tests.process.stage import eventually
from tests.process.test_supervisor import Place, place
from tests.world import invariants

__all__ = ["place"]
pytestmark = pytest.mark.slow

_UNTIL = """
[defaults.handler]
command = ["sh", "-c", "while [ ! -e \\"$0\\" ]; do sleep 0.02; done", "{gate}"]
stdout = "output"
"""


def _consumers(place: Place) -> dict[str, dict[str, Any]]:
    return {each["program"]: each for each in json.loads(place.pqfs("consumers", "list", "--json").stdout)["items"]}


def _alive(place: Place) -> list[str]:
    return [name for name in place.living() if name.startswith("consumer")]


def _drop(place: Place, name: str, folder: str = "") -> None:
    (place.root / "drop").write_text(name)
    (place.root / "drop").rename(place.root / "spool" / "inbox" / folder / name)


def _running(place: Place) -> list[str]:
    """The programs that run a job just now."""
    living = Owners(place.run).living()
    return sorted(each.program for each in living if read_slot(place.run / f"{each.owner}.slot"))


def _settled(place: Place) -> None:
    """Everything has ended, and all that must hold does."""
    assert place.pqfs("down").returncode == 0
    app = open_app(load({"spool": str(place.root / "spool")}, {}))
    app.janitor("none").look()
    invariants(app.spool, app.index)
    app.close()


def test_consumers_come_and_go_under_load_and_no_job_is_lost(place: Place) -> None:
    place.up()
    names = [f"{number}.txt" for number in range(600)]
    for number, name in enumerate(names):
        _drop(place, name)
        if number % 150 == 100:
            done = place.pqfs("consumers", "scale", ("6", "1", "4", "2")[number // 150])
            assert done.returncode == 0, done.stderr

    eventually(lambda: len(list(place.outbox.iterdir())) == len(names), "all come out", 120.0)

    assert {each.name.rpartition("_")[2] for each in place.outbox.iterdir()} == set(names)
    assert len(_alive(place)) == 2
    _settled(place)


def test_a_wish_survives_the_stack_and_the_death_of_its_supervisor_and_a_flag_wins(place: Place) -> None:
    place.up()
    assert place.pqfs("consumers", "scale", "4").returncode == 0
    assert place.pqfs("consumers", "stop", "consumer-01").returncode == 0
    wanted = ["consumer-00", "consumer-02", "consumer-03"]
    assert _alive(place) == wanted

    assert place.pqfs("down").returncode == 0
    place.up()
    assert _alive(place) == wanted

    os.kill(place.supervisord(), signal.SIGKILL)
    eventually(lambda: not place.living(), "the children have drained")
    ended = place.pqfs("up", "-d", "--no-ui")
    assert "3, as `pqfs consumers` was asked for" in ended.stderr
    assert _alive(place) == wanted

    assert place.pqfs("down").returncode == 0
    ended = place.pqfs("up", "-d", "--no-ui", "--consumers", "1")
    assert "takes the place of 3" in ended.stderr
    assert _alive(place) == ["consumer-00"]


def test_consumers_for_a_queue_serve_it_alone_also_after_their_death(place: Place) -> None:
    (place.root / "pqfs.toml").write_text("[queues.mail]\n")
    place.up("--consumers", "0")
    assert place.pqfs("consumers", "scale", "1", "-q", "mail").returncode == 0
    _drop(place, "other.txt")
    _drop(place, "letter.txt", "mail")
    mail = place.outbox / "mail"
    eventually(lambda: mail.exists() and len(list(mail.iterdir())) == 1, "the letter comes out")
    (before,) = (each for each in Owners(place.run).living() if each.program == "consumer-00")
    os.kill(before.pid, signal.SIGKILL)
    eventually(lambda: _alive(place) == ["consumer-00"] and before.owner not in _owners(place), "it is back")

    _drop(place, "second.txt", "mail")

    eventually(lambda: len(list(mail.iterdir())) == 2, "the second letter comes out")
    assert [path for path in place.outbox.iterdir() if path.is_file()] == []
    assert _consumers(place)["consumer-00"]["queues"] == ["mail"]
    _settled(place)


def _owners(place: Place) -> list[str]:
    return [each.owner for each in Owners(place.run).living()]


def test_the_idle_are_let_go_first_and_who_drains_finishes_what_it_runs(place: Place) -> None:
    gate = place.root / "gate"
    config = _UNTIL.replace("{gate}", str(gate)) + "[consume]\ndrain = '0s'\n"
    (place.root / "pqfs.toml").write_text(config)
    place.up("--consumers", "3")
    _drop(place, "slow")
    (busy,) = eventually(lambda: _running(place), "one runs it", 60.0)

    assert place.pqfs("consumers", "scale", "1").returncode == 0
    assert _alive(place) == [busy]

    drain = place.spawn("consumers", "drain", busy)
    eventually(lambda: _consumers(place)[busy]["state"] == "DRAINING", "it drains")
    assert place.pqfs("consumers", "drain", busy, "--timeout", "0.5").returncode == 3
    assert _running(place) == [busy]
    gate.touch()
    assert drain.wait(60) == 0
    drain.communicate()
    assert _alive(place) == []
    job = json.loads(place.pqfs("jobs", "list", "--json").stdout)["items"][0]
    assert (job["state"], job["attempt"]) == ("completed", 1)
    _settled(place)


def test_a_stopped_consumer_gives_back_what_it_runs_and_another_completes_it(place: Place) -> None:
    gate = place.root / "gate"
    (place.root / "pqfs.toml").write_text(_UNTIL.replace("{gate}", str(gate)) + "[consume]\ndrain = '0s'\n")
    place.up("--consumers", "2")
    _drop(place, "slow")
    (busy,) = eventually(lambda: _running(place), "one runs it", 60.0)

    assert place.pqfs("consumers", "stop", busy).returncode == 0

    (other,) = eventually(lambda: _running(place), "the other one runs it", 60.0)
    assert other != busy
    gate.touch()
    eventually(lambda: list(place.outbox.iterdir()), "it comes out")
    _settled(place)


def test_a_consumer_that_is_not_wanted_leaves_however_it_was_started(place: Place) -> None:
    place.up()
    assert place.pqfs("consumers", "scale", "1").returncode == 0
    eventually(lambda: _alive(place) == ["consumer-00"], "one is left")
    conf = str(place.run / "supervisord.conf")

    command = [sys.executable, "-m", "supervisor.supervisorctl", "-c", conf, "start", "pqfs:consumer-01"]
    subprocess.run(command, capture_output=True, timeout=30, check=False)

    eventually(lambda: "not wanted" in (place.root / "logs" / "consumer-01.log").read_text(), "it says why")
    eventually(lambda: "consumer-01" not in place.processes(), "supervisor leaves it stopped")
    assert _alive(place) == ["consumer-00"]


def test_a_restart_goes_from_one_to_the_next_and_takes_up_the_settings(place: Place) -> None:
    place.up()
    before = _owners(place)
    (place.root / "pqfs.toml").write_text("[defaults]\nhandler = { command = ['true'], stdout = 'output' }\n")

    ended = place.pqfs("consumers", "restart")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["consumer-00", "consumer-01", "ingester", "janitor"]
    assert not set(before) & set(_owners(place))
    assert place.living() == ["consumer-00", "consumer-01", "ingester", "janitor"]
    _drop(place, "a")
    (output,) = eventually(lambda: list(place.outbox.iterdir()), "it comes out")
    assert output.read_bytes() == b""
