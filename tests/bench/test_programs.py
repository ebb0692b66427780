"""Every benchmark program from end to end, with numbers that measure nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.burst import plain_loop
from tests.world import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def ground() -> Iterator[Path]:
    """A directory whose name is short enough for a socket below it."""
    with tempfile.TemporaryDirectory(prefix="pqfs-bench-") as path:
        yield Path(path)


def _start(at: Path, program: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"tests.bench.{program}", "--json", "--at", str(at), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _run(at: Path, program: str, *arguments: str) -> dict[str, Any]:
    """What a program found, after it has left nothing behind."""
    process = _start(at, program, *arguments)
    said, talk = process.communicate()
    assert process.returncode == 0, talk
    assert list(at.iterdir()) == []
    found: dict[str, Any] = json.loads(said)
    assert found["machine"]["file system"]
    return found


def test_a_race_names_everybody_who_took_part_and_judges_the_ratios(ground: Path) -> None:
    found = _run(ground, "race", "--jobs", "40", "--rounds", "1", "--slices", "2", "pqfs", "bare_loop", "script")

    assert [row["contender"] for row in found["rows"]] == ["pqfs", "bare_loop", "script"]
    assert all(row["jobs/s"] > 0 and row["peak MiB"] > 1 for row in found["rows"])
    assert {target["bound"] for target in found["targets"]} == {1.5, 3.0, 0.7, 0.8}
    assert [row["slice"] for row in found["details"]] == ["1/2", "2/2"]


def test_a_race_of_mixed_sizes(ground: Path) -> None:
    found = _run(ground, "race", "--jobs", "20", "--rounds", "1", "--size", "mixed", "bare_loop")

    assert found["rows"][0]["jobs/s"] > 0
    assert found["targets"] == []


def test_who_gets_stuck_leaves_the_race_and_that_is_told(ground: Path) -> None:
    deep = ground / ("too-long-for-a-socket" * 6)
    deep.mkdir()

    found = _run(deep, "race", "--jobs", "20", "--rounds", "2", "pqfs", "bare_loop")

    assert [row["contender"] for row in found["rows"]] == ["bare_loop"]
    assert found["targets"] == []
    assert "pqfs got stuck: 0 of 20 outputs came." in found["notes"][0]


def test_latencies_of_drops_and_of_a_load(ground: Path) -> None:
    found = _run(ground, "latency", "--drops", "5", "--jobs", "50", "--seconds", "0.2", "--rate", "100")

    assert [row["contender"] for row in found["rows"]] == ["pqfs", "script"]
    assert all(0 < row["idle median ms"] <= row["idle p99 ms"] <= row["idle most ms"] for row in found["rows"])
    assert all(row["offered jobs/s"] == 100 and row["loaded median ms"] > 0 for row in found["rows"])


def test_a_big_file(ground: Path) -> None:
    found = _run(ground, "bigfile", "--size", "3MiB", "--rounds", "2")

    assert [row["round"] for row in found["rows"]] == [1, 2]
    assert all(row["stack s"] > 0 and row["cp + sync s"] > 0 for row in found["rows"])


def test_an_idle_stack(ground: Path) -> None:
    found = _run(ground, "idle", "--settle", "0", "--seconds", "0.5", "--consumers", "1")

    processes = ["all", "consumer", "ingester", "janitor", "pqfs up", "runner", "supervisord"]
    assert sorted(row["process"] for row in found["rows"]) == processes


def test_a_job_costs_something_in_every_stage(ground: Path) -> None:
    found = _run(ground, "scale", "--jobs", "200", "--consumers", "1", "--queues", "3")

    assert [(row["consumers"], row["queues"]) for row in found["rows"]] == [(1, 1), (2, 3)]
    assert all(row[f"{stage} µs"] > 0 for row in found["rows"] for stage in ("ingester", "consumer", "runner"))


def test_a_backlog(ground: Path) -> None:
    found = _run(ground, "backlog", "--levels", "1000", "--completed", "100", "--rounds", "1")

    assert found["rows"][0]["pending"] == 1000
    assert all(value > 0 for value in found["rows"][0].values())
    assert len(found["targets"]) == 8


def test_a_backlog_on_postgresql(ground: Path) -> None:
    line = "--levels 100 300 --claims 2 --worked 200 --sessions 1 --seconds 0.2 --move 50"

    found = _run(ground, "postgres", *line.split())

    assert [row["pending"] for row in found["rows"]] == ["100", "300", "300, 200 worked off"]
    assert all(row["wall of 10, µs"] > row["server of 10, µs"] > 0 for row in found["rows"])
    assert found["details"][0]["jobs/s"] > 0
    assert [row["move"] for row in found["details"][1:]] == ["to SQLite", "to PostgreSQL"]
    assert len(found["targets"]) == 8


def test_viewers(ground: Path) -> None:
    found = _run(ground, "viewers", "--jobs", "50", "--runs", "1", "--viewers", "2", "--refreshes", "3")

    (row,) = found["rows"]
    assert row["jobs/s"] > 0 and row["jobs/s, watched"] > 0 and row["a look, s"] > 0
    assert [target["bound"] for target in found["targets"]] == [0.8, 1.1]


def test_the_pages_of_the_console(ground: Path) -> None:
    found = _run(ground, "console", "--jobs", "500", "--files", "50", "--rounds", "1", "--no-browser")

    assert {"overview", "spool", "a job"} <= {row["page"] for row in found["rows"]}
    assert all(row["switch ms"] > 0 and row["refresh ms"] > 0 for row in found["rows"])


def test_the_recovery_of_a_job(ground: Path) -> None:
    assert _run(ground, "recovery", "--kills", "1")["rows"][0]["kills"] == 1


def test_a_look_through_a_spool_and_a_rebuild_remove_only_what_they_made(ground: Path) -> None:
    (ground / "mine").touch()
    process = _start(ground, "fsck", "--jobs", "200")
    said, talk = process.communicate()

    assert process.returncode == 0, talk
    assert [row["exit code"] for row in json.loads(said)["rows"]] == [0, 0, 0]
    assert list(ground.iterdir()) == [ground / "mine"]


def test_the_plain_loop_takes_every_file_of_a_flood(ground: Path) -> None:
    assert plain_loop(ground, 300) > 0
    assert len(list((ground / "loop" / "ready").iterdir())) == 300


def test_a_program_that_is_interrupted_leaves_no_ground_and_no_process(ground: Path) -> None:
    process = _start(ground, "race", "--jobs", "3000", "--rounds", "1", "pqfs")
    eventually(lambda: any("supervisord" in line for line in _processes_on(ground, process.pid)), "it runs", 60.0)

    process.send_signal(signal.SIGTERM)
    process.communicate()

    assert process.returncode == 128 + signal.SIGTERM
    assert _processes_on(ground, process.pid) == []
    assert list(ground.iterdir()) == []


def _processes_on(path: Path, but: int) -> list[str]:
    """The command lines of other processes that name a place below a path."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{path}/" in line and int(pid) != but:
            found.append(line)
    return found
