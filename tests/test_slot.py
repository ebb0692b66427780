"""The slot says which attempt runs, to every process and after every death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pqfs.slot import SIZE, Running, Slot, read_slot
from tests.world import new_id


def test_an_attempt_is_seen_by_both_sides_from_its_begin_to_its_end(tmp_path: Path) -> None:
    slot, descriptor = Slot.create(tmp_path / "slot")
    other = Slot(descriptor)
    job = new_id()
    assert slot.read() is None
    assert read_slot(tmp_path / "slot") is None

    other.begin(job, 3, 12.5)
    other.progress(0.25)

    assert slot.read() == read_slot(tmp_path / "slot") == Running(job, 3, 12.5, 0.25)
    other.begin(job, 4, 13.5)
    assert slot.read() == Running(job, 4, 13.5, 0.0)
    other.end()
    assert slot.read() is None
    os.close(descriptor)


def test_a_slot_survives_the_process_that_wrote_it(tmp_path: Path) -> None:
    slot, descriptor = Slot.create(tmp_path / "slot")
    job = new_id()
    code = (
        "import os, signal, sys\nfrom pqfs.slot import Slot\n"
        "Slot(int(sys.argv[1])).begin(sys.argv[2], 7, 99.0)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code, str(descriptor), job], pass_fds=(descriptor,), timeout=30, check=False
    )

    assert ended.returncode == -signal.SIGKILL
    assert slot.read() == read_slot(tmp_path / "slot") == Running(job, 7, 99.0, 0.0)
    os.close(descriptor)


def test_a_new_generation_is_seen_by_the_other_side_and_leaves_what_runs_alone(tmp_path: Path) -> None:
    slot, descriptor = Slot.create(tmp_path / "slot")
    other, job = Slot(descriptor), new_id()
    other.begin(job, 1, 5.0)

    slot.next_generation()

    assert other.generation == slot.generation == 1
    assert slot.read() == Running(job, 1, 5.0, 0.0)
    other.end()
    assert slot.generation == 1
    os.close(descriptor)


def test_a_slot_that_is_not_there_or_was_cut_says_nothing(tmp_path: Path) -> None:
    assert read_slot(tmp_path / "none") is None
    (tmp_path / "slot").write_bytes(b"\1" * 20)
    assert read_slot(tmp_path / "slot") is None


def test_a_new_slot_forgets_the_old_one(tmp_path: Path) -> None:
    slot, descriptor = Slot.create(tmp_path / "slot")
    slot.begin(new_id(), 1, 1.0)
    again, second = Slot.create(tmp_path / "slot")

    assert again.read() is None
    assert (tmp_path / "slot").stat().st_mode & 0o777 == 0o600
    os.close(descriptor)
    os.close(second)


@given(st.binary(max_size=SIZE + 1))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_slot_can_be_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "slot").write_bytes(data)

    found = read_slot(tmp_path / "slot")

    assert found is None or isinstance(found.job, str)
