"""What the benchmark programs make of what they measured."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.bench import usage
from tests.bench.arena import Room, ground, running
from tests.bench.drain import Drain, Moment
from tests.bench.figures import Figures, Target, Value, median, publish, quantile, ratio, table
from tests.bench.load import Load, parse_size
from tests.bench.peers import PQFS, Contender
from tests.bench.race import Results, held, row, slices, targets
from tests.bench.sightings import Sightings
from tests.bench.usage import Usage


def _drain(outputs: int, start: float, rate: float, cpu: float) -> Drain:
    """A drain that begins to publish after `start` seconds and then keeps its rate."""
    counts = (1, *range(10, outputs + 1, 10))
    moments = (Moment(start + (count - 1) / rate, count, Usage(start + count * cpu, 0)) for count in counts)
    return Drain(outputs, tuple(moments), 100)


def test_a_target_is_met_on_its_bound_and_never_by_what_was_not_measured() -> None:
    assert Target("rate", 1.5, 1.5, at_least=True).is_met
    assert not Target("rate", 1.49, 1.5, at_least=True).is_met
    assert Target("cost", 0.7, 0.7).is_met
    assert not Target("cost", 0.71, 0.7).is_met
    assert not Target("cost", math.nan, 0.7).is_met
    assert "not measured" in Target("rate", math.nan, 1.5, at_least=True).verdict


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 1001)]
    assert quantile(values, 0.99) == 990
    assert quantile([7.0], 0.99) == 7.0
    assert (math.isnan(quantile([], 0.5)), math.isnan(median([])), math.isnan(ratio(1, 0))) == (True, True, True)


def test_the_steady_rate_and_cost_leave_the_start_out() -> None:
    found = _drain(1000, start=2.0, rate=500.0, cpu=0.001)

    assert found.rate == pytest.approx(1000 / (2.0 + 999 / 500))
    assert found.steady_rate == pytest.approx(500)
    assert found.cost == pytest.approx(0.003)
    assert found.steady_cost == pytest.approx(0.001)


def test_the_race_is_judged_by_the_median_of_the_rounds_ratios() -> None:
    ours = [_drain(100, 0.1, rate, 0.001) for rate in (100.0, 300.0, 200.0)]
    theirs = [_drain(100, 0.1, 100.0, 0.010) for _ in ours]
    results: Results = {"pqfs": ours, "bare_loop": theirs}

    judged = {target.claim: target for target in targets(results)}

    assert set(judged) == {"pqfs / bare_loop, jobs/s from the start", "pqfs / bare_loop, steady jobs/s"}
    assert judged["pqfs / bare_loop, steady jobs/s"].value == pytest.approx(2.0)
    assert row("pqfs", ours)["steady jobs/s"] == pytest.approx(200)


def test_a_rate_that_sinks_is_seen_in_the_slices() -> None:
    fast = tuple(Moment(count / 100, count, Usage()) for count in range(1, 51))
    slow = tuple(Moment(0.5 + (count - 50) / 10, count, Usage()) for count in range(51, 101))

    shown = slices({"pqfs": [Drain(100, fast + slow, 0)]}, 2)

    assert [each["slice"] for each in shown] == ["1/2", "2/2"]
    assert held(shown)[0].value == pytest.approx(0.1, rel=0.05)
    assert not held(shown)[0].is_met
    assert held(slices({"pqfs": []}, 0)) == []


def test_figures_are_one_json_object_with_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Value]] = [{"contender": "pqfs", "jobs/s": math.nan}]
    publish(Figures("race", "python -m …", rows, [Target("x", 1.0, 2.0)], ["a note"]), as_json=True)

    said = json.loads(capsys.readouterr().out)

    assert said["rows"] == [{"contender": "pqfs", "jobs/s": None}]
    assert said["targets"][0]["met"] is True
    assert said["machine"]["cores"]


def test_a_table_aligns_numbers_and_shows_what_is_missing() -> None:
    lines = table([{"who": "pqfs", "rate": 12345.6}, {"who": "x", "rate": None}]).splitlines()

    assert lines == ["who     rate", "----  ------", "pqfs  12,346", "x          -"]


def test_sizes_are_read_as_people_write_them() -> None:
    assert [parse_size(text) for text in ("0", "1024", "64KiB", "10 MiB", "4g")] == [
        0, 1024, 65536, 10 * 2**20, 4 * 2**30,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="is no size"):
        Load(1, "large")


def test_mixed_files_have_the_sizes_that_were_promised_in_every_hundred() -> None:
    sizes = [Load(100, "mixed").bytes_of(number) for number in range(100)]

    assert (sizes.count(0), sizes.count(1024), sizes.count(10 * 2**20)) == (10, 60, 1)
    assert len(set(sizes[:25])) >= 3, "every batch gets of each"


def test_the_usage_of_a_tree_counts_children_that_have_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint('done', flush=True); input()"
    run = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
    parent = f"{run}\nprint('over', flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    living = usage.of_tree(process.pid)
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == b"over"
    after = usage.of_tree(process.pid)
    process.communicate(b"\n")

    assert len(usage.tree(os.getpid())) >= 1
    assert after.cpu >= living.cpu >= 0.2
    assert living.resident > after.resident > 0


def test_a_name_that_is_moved_into_a_directory_is_seen(tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    (tmp_path / "stamp_id_job-1").touch()
    with Sightings(tmp_path / "outbox") as sightings:
        assert sightings.wait(0.0) == []
        move = threading.Thread(
            target=(tmp_path / "stamp_id_job-1").rename, args=(tmp_path / "outbox" / "stamp_id_job-1",)
        )
        move.start()
        assert sightings.wait_for("job-1", 20.0).name == "stamp_id_job-1"
        move.join()
        with pytest.raises(TimeoutError):
            sightings.wait_for("job-2", 0.0)


def test_what_a_contender_leaves_behind_is_ended_and_the_ground_is_gone(tmp_path: Path) -> None:
    orphan = (
        "import os, time\nif os.fork(): time.sleep(600)\nopen('child', 'w').write(str(os.getpid())); time.sleep(600)"
    )
    with ground(tmp_path, Room(10, 10)) as base:
        with running([sys.executable, "-c", orphan], base) as process:
            while not (base.parent / "child").exists() or not (base.parent / "child").read_text():
                assert process.poll() is None
            born = usage.births(int((base.parent / "child").read_text()))
            assert all(birth.still_lives() for birth in born)
        assert not any(birth.still_lives() for birth in born)
    assert list(tmp_path.iterdir()) == []


def test_a_contender_that_is_not_installed_says_so() -> None:
    absence = Contender("else", "nobody", "not_a_module_at_all").absence
    assert absence is not None
    assert "is not installed" in absence
    assert PQFS.absence is None


def test_a_load_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="are needed"), ground(tmp_path, Room(1, 2**60)):
        pass
    assert list(tmp_path.iterdir()) == []
