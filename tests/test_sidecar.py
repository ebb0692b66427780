"""What a producer may ask of its job, and how little it is trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pqfs.errors import Rejected
from pqfs.model import Arrival
from pqfs.settings import QueueSettings
from pqfs.sidecar import Sidecar, read
from tests.world import EPOCH

Reader = Callable[[bytes], Sidecar]
PLAIN = Arrival("id", "default", b"name", 1, priority=4)


@pytest.fixture
def reading(tmp_path: Path) -> Reader:
    """Read these bytes as a sidecar file."""

    def from_file(data: bytes) -> Sidecar:
        path = tmp_path / "sidecar"
        path.write_bytes(data)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return read(descriptor)
        finally:
            os.close(descriptor)

    return from_file


def test_everything_that_may_be_asked_for_is_understood(reading: Reader) -> None:
    asked: dict[str, Any] = {
        "priority": 7, "queue": "mail", "delay": "5m", "max_failures": 9, "timeout": "90s", "key": "k-1",
        "metadata": {"customer": 12, "deep": {"list": [1, None]}},
    }  # fmt: skip

    arrival = reading(json.dumps(asked).encode()).apply(PLAIN, QueueSettings(sidecar_queue=True), EPOCH, "mark")

    assert (arrival.priority, arrival.queue, arrival.ready_at) == (7, "mail", EPOCH + 300)
    assert arrival.options == {
        "max_failures": 9, "timeout": 90.0, "key": "k-1", "metadata": asked["metadata"], "sidecar": "mark",
    }  # fmt: skip


def test_an_empty_one_asks_for_nothing_but_is_remembered(reading: Reader) -> None:
    arrival = reading(b"{}").apply(PLAIN, QueueSettings(), EPOCH, "mark")

    assert (arrival.priority, arrival.queue, arrival.ready_at) == (4, "default", 0.0)
    assert arrival.options == {"sidecar": "mark"}


def test_another_queue_is_given_only_where_the_inbox_allows_it(reading: Reader) -> None:
    sidecar = reading(b'{"queue": "mail"}')

    assert sidecar.apply(PLAIN, QueueSettings(), EPOCH, "mark").queue == "default"
    assert sidecar.apply(PLAIN, QueueSettings(sidecar_queue=True), EPOCH, "mark").queue == "mail"


def test_not_before_is_an_instant(reading: Reader) -> None:
    sidecar = reading(b'{"not_before": "2027-01-15T09:00:00+01:00"}')

    assert sidecar.apply(PLAIN, QueueSettings(), EPOCH - 99, "mark").ready_at == EPOCH


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe\xff", "not valid JSON"),
        (b"[]", "invalid"),
        (b"null", "invalid"),
        (b'{"priority": 1, "priority": 2}', "a key stands twice"),
        (b'{"metadata": {"a": 1, "a": 2}}', "a key stands twice"),
        (b'{"path": "/etc/passwd"}', "path: Extra inputs are not permitted"),
        (b'{"priority": 1001}', "priority"),
        (b'{"priority": "high"}', "priority"),
        (b'{"queue": "../etc"}', "can not name a queue"),
        (b'{"queue": "No"}', "can not name a queue"),
        (b'{"delay": "-5s"}', "delay"),
        (b'{"delay": "soon"}', "is not a duration"),
        (b'{"delay": "3654d"}', "delay"),
        (b'{"delay": "' + b"9" * 400 + b'"}', "delay"),
        (b'{"not_before": "tomorrow"}', "invalid: not_before"),
        (b'{"not_before": "1969-12-31T00:00:00Z"}', "between 1970 and ten years from now"),
        (b'{"not_before": "9999-12-31T23:59:59Z"}', "between 1970 and ten years from now"),
        (b'{"not_before": "0001-01-01T00:00:00+05:00"}', "not on the calendar"),
        (b'{"timeout": 0}', "timeout"),
        (b'{"timeout": "366d"}', "timeout"),
        (b'{"metadata": {"a": NaN}}', "NaN is not a number"),
        (b'{"metadata": {"a": [-Infinity]}}', "-Infinity is not a number"),
        (b'{"metadata": {"a": 1e999}}', "1e999 is not a number"),
        (b'{"key": "\\ud800"}', "half a surrogate pair"),
        (b'{"metadata": {"a": ["\\udfff"]}}', "half a surrogate pair"),
        (b'{"metadata": {"\\ud800": 1}}', "half a surrogate pair"),
        (b'{"metadata": {"a": "\xed\xa0\x80"}}', "half a surrogate pair"),
        (b'{"max_failures": 0}', "max_failures"),
        (b'{"max_failures": 101}', "max_failures"),
        (b'{"key": "' + b"k" * 201 + b'"}', "key"),
        (b'{"metadata": [1]}', "metadata"),
        (b"[" * 60000, "not valid JSON"),
        (b" " * 65537, "larger than 65536 bytes"),
    ],
)
def test_what_is_wrong_is_refused_in_words(reading: Reader, data: bytes, says: str) -> None:
    with pytest.raises(Rejected) as caught:
        reading(data)

    assert says in caught.value.message


def test_the_largest_one_that_is_allowed_is_read(reading: Reader) -> None:
    assert reading(b"{}" + b" " * (65536 - 2)) == Sidecar()


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.floats() | st.integers(), st.lists).map(
    lambda value: json.dumps({"metadata": {"x": value}, "priority": value}).encode()
))  # fmt: skip
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused_and_nothing_else_happens(reading: Reader, data: bytes) -> None:
    try:
        found = reading(data)
    except Rejected as error:
        assert error.message.startswith("its sidecar is")
    else:
        assert isinstance(found, Sidecar)
