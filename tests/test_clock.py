"""Time as text and back; the two clocks."""

from __future__ import annotations

import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pqfs.cli.terminal import when
from pqfs.clock import SystemClock, boot_id, day, iso, parse_day, parse_iso, stamp
from tests.world import EPOCH, SettableClock

instants = st.floats(0, 4e9)


@given(instants)
def test_an_instant_is_written_in_utc_to_the_microsecond_and_reads_back(instant: float) -> None:
    written = iso(instant)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", written)
    assert abs(parse_iso(written) - instant) < 2e-6


@given(instants, instants)
def test_stamps_sort_as_time_does(one: float, other: float) -> None:
    early, late = sorted((one, other))

    assert stamp(early) <= stamp(late)
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z", stamp(early))


@given(instants)
def test_a_day_begins_at_midnight_of_utc(instant: float) -> None:
    begin = parse_day(day(instant))

    assert begin is not None
    assert 0 <= instant - begin < 86400
    assert day(begin) == day(instant)


def test_known_instants() -> None:
    assert iso(EPOCH) == "2027-01-15T08:00:00.000000Z"
    assert stamp(EPOCH + 0.000001) == "20270115T080000.000001Z"
    assert day(EPOCH) == "2027-01-15"


@pytest.mark.parametrize("text", ["2027-01-15T08:00:00Z", "2027-01-15T09:00:00+01:00", "2027-01-15 03:00:00-05:00"])
def test_zones_are_understood(text: str) -> None:
    assert parse_iso(text) == EPOCH


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("instant", [-1e300, -1e12, -1.0, 1e12, 1e300, -math.inf, math.inf, math.nan])
def test_an_instant_that_is_on_no_calendar_is_written_all_the_same(
    monkeypatch: pytest.MonkeyPatch, instant: float, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert iso(instant)[-1] == stamp(instant)[-1] == "Z"
        assert day(instant)
        assert when(instant)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    try:
        assert parse_iso("2027-01-15T09:00:00") == EPOCH
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="isoformat"):
        parse_iso("tomorrow")
    with pytest.raises(ValueError, match="not on the calendar"):
        parse_iso("0001-01-01T00:00:00+05:00")


def test_the_systems_clocks_go_forward_and_boot_time_counts_from_boot() -> None:
    clock = SystemClock()

    first, then = clock.boottime(), clock.boottime()

    assert 0 < first <= then
    assert abs(clock.now() - time.time()) < 1
    assert boot_id() == boot_id() != ""


def test_a_step_of_the_wall_clock_leaves_boot_time_alone(clock: SettableClock) -> None:
    clock.step(-3600)
    clock.pass_by(10)

    assert (clock.now(), clock.boottime()) == (EPOCH - 3590, 1010.0)


@pytest.mark.parametrize("text", ["", "today", "2027-13-01", "2027-01-15T08:00:00Z", ".keep"])
def test_what_is_no_day_is_none(text: str) -> None:
    assert parse_day(text) is None
