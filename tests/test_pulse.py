"""A pulse says when a process last did its work: whole at any moment, seldom, and beyond its process's end."""

from __future__ import annotations

import os
from pathlib import Path

from pqfs.clock import boot_id
from pqfs.pulse import Pulse, read_beat, read_beats
from tests.world import SettableClock


def _pulse(run: Path, clock: SettableClock, program: str = "ingester") -> Pulse:
    return Pulse(run, program, f"{program}.1.aa", boot_id(), clock)


def test_a_beat_is_read_as_it_was_said(tmp_path: Path, clock: SettableClock) -> None:
    _pulse(tmp_path, clock).beat("making files durable", waiting={"name": "a"})

    (beat,) = read_beats(tmp_path)

    assert (beat.program, beat.owner, beat.at, beat.wall) == ("ingester", "ingester.1.aa", clock.boot, clock.wall)
    assert (beat.doing, beat.trouble, beat.said) == ("making files durable", None, {"waiting": {"name": "a"}})


def test_nothing_new_is_written_at_most_once_a_second(tmp_path: Path, clock: SettableClock) -> None:
    pulse = _pulse(tmp_path, clock)
    pulse.beat()
    clock.pass_by(0.5)
    pulse.beat()
    assert read_beats(tmp_path)[0].at == clock.boot - 0.5

    pulse.beat(news=1)

    assert read_beats(tmp_path)[0].at == clock.boot


def test_a_complaint_leaves_the_last_beat_as_old_as_it_is(tmp_path: Path, clock: SettableClock) -> None:
    pulse = _pulse(tmp_path, clock)
    pulse.beat("looking", alarms={})
    clock.pass_by(9)

    pulse.complain("the index is busy")

    (beat,) = read_beats(tmp_path)
    assert (beat.at, beat.doing, beat.trouble) == (clock.boot - 9, None, "the index is busy")
    assert beat.said == {"alarms": {}}


def test_a_process_that_starts_leaves_the_last_beat_of_the_one_before_it(
    tmp_path: Path, clock: SettableClock
) -> None:
    _pulse(tmp_path, clock).beat()
    clock.pass_by(60)

    _pulse(tmp_path, clock)

    assert read_beats(tmp_path)[0].at == clock.boot - 60


def test_a_pulse_outlives_its_process_unless_its_name_was_for_this_start_only(
    tmp_path: Path, clock: SettableClock
) -> None:
    for program in ("ingester", f"ingester-{os.getpid()}"):
        pulse = _pulse(tmp_path, clock, program)
        pulse.beat()
        pulse.close()

    assert [path.name for path in tmp_path.iterdir()] == ["ingester.pulse"]


def test_figures_go_with_the_next_beat_and_are_no_news(tmp_path: Path, clock: SettableClock) -> None:
    pulse = _pulse(tmp_path, clock)
    pulse.beat()
    pulse.note(figure=1)
    pulse.beat()
    assert read_beats(tmp_path)[0].said == {}

    clock.pass_by(2)
    pulse.beat()

    assert read_beats(tmp_path)[0].said == {"figure": 1}


def test_a_disk_without_room_ends_no_process(tmp_path: Path, clock: SettableClock) -> None:
    pulse = _pulse(tmp_path, clock)
    os.close(pulse._descriptor)
    pulse._descriptor = os.open("/dev/full", os.O_WRONLY)

    pulse.beat()


def test_what_is_no_beat_is_none(tmp_path: Path) -> None:
    for number, text in enumerate(("", "{", "[]", '{"program": "ingester"}')):
        (tmp_path / f"{number}.pulse").write_text(text)

    assert read_beats(tmp_path) == []
    assert read_beat(tmp_path / "none.pulse") is None
    assert read_beats(tmp_path / "nowhere") == []
