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
from jsonschema import Draft202012Validator

from pqfs.errors import Rejected
from pqfs.model import Arrival
from pqfs.settings import QueueSettings
from pqfs.sidecar import Sidecar, read, schema
from tests.shell import Shell
from tests.world import EPOCH

Reader = Callable[[bytes], Sidecar]
SCHEMA = Draft202012Validator(schema())
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


# -------------------------------------------------------------------- its JSON Schema

_PERIODS = st.integers(-1, 400_000_000) | st.floats(0, 1e9) | st.from_regex(
    r"\A[0-9]{1,11}(\.[0-9]{1,4})?(ms|s|m|h|d|w|y)?\Z"
)  # fmt: skip
_INSTANTS = st.datetimes().map(lambda at: f"{at.isoformat()}Z") | st.from_regex(
    r"\A(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](Z|[+-][01][0-9]:[0-6][0-9])\Z"
)
_NEAR: dict[str, st.SearchStrategy[Any]] = {
    "priority": st.integers(-1001, 1001) | st.floats(-2, 2) | st.booleans(),
    "queue": st.from_regex(r"\A[a-z0-9_.-]{0,34}\Z"),
    "delay": _PERIODS, "timeout": _PERIODS, "not_before": _INSTANTS,
    "max_failures": st.integers(0, 101), "key": st.text("k\U0001f600", min_size=198, max_size=202),
    "sha256": st.from_regex(r"\A[0-9a-fA-F]{63,65}\Z"),
    "metadata": st.dictionaries(st.text(max_size=3), st.booleans() | st.text(max_size=3)), "path": st.just("/"),
}  # fmt: skip


@given(st.one_of([st.fixed_dictionaries({name: near}) for name, near in _NEAR.items()]))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_what_the_schema_accepts_is_accepted(reading: Reader, asked: dict[str, Any]) -> None:
    if SCHEMA.is_valid(asked):
        assert isinstance(reading(json.dumps(asked).encode()), Sidecar)


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"priority": 5, "delay": "10m", "timeout": "1h", "metadata": {"from": "lab 3"}}, {"delay": "365d"},
        {"not_before": "2027-12-31T23:59:59.5+01:00", "queue": "mail", "key": "k", "sha256": "0a" * 32},
        {"delay": 90},
        {"timeout": "1.5h", "max_failures": 100, "priority": None},
    ],
)  # fmt: skip
def test_what_is_usual_is_accepted_by_the_schema_too(reading: Reader, asked: dict[str, Any]) -> None:
    SCHEMA.validate(asked)

    reading(json.dumps(asked).encode())


def test_the_command_prints_it(shell: Shell) -> None:
    assert shell("schema", "sidecar") == 0

    assert json.loads(shell.out) == SCHEMA.schema
    assert shell("schema", "elsewhere") == 2
