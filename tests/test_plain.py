"""The reader without pydantic knows less than pydantic, and never anything else."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pqfs import plain
from pqfs.errors import Misconfigured
from pqfs.settings import Settings
from pqfs.validation import validated

USUAL = """
spool = "/srv/spool"
consumers = 3
durability = "relaxed"
low_water = "1.5GiB"
producers = "staff"
[ingest]
sweep_every = "10s"
ignore = ["*.bak", "~*"]
create_queues_by_mkdir = true
[keep]
done = "forever"
rows = "forever"
dead = 60
[health]
log = 1_000_000_000
[defaults]
handler = { command = ["gzip", "--stdout", "{input}"], stdout = "output", environment = { LANG = "C" } }
limits = { memory = "4GiB", cpu = "10m", nice = 3 }
[queues.scans]
handler = { command = ["x"], confine = "landlock", read = ["/usr"], network = false, permanent = [2, 6] }
rate = "100/m"
sidecar = "wait:5s"
[queues.mail]
handler = { python = "shrink:shrink" }
settle = "2s"
"""

written = st.one_of(
    st.sampled_from(
        ["90s", "5m", "0", "64MiB", "1.5 GiB", "12", "007", " 3", "3 ", "1_0", "-1", "true", "forever", "none",
         "auto", "wait:9s", "required", "strict", "timestamp", "100/m", "/srv", "~/x", "\u0663", "polling", ""]
    ),
    st.integers(-2, 70), st.booleans(), st.none(), st.sampled_from([0.5, 2.0, float("inf"), float("nan")]),
    st.lists(st.sampled_from(["a", "{input}", "{oops}", "/usr", "usr", 1, 2.0, True]), max_size=2),
    st.fixed_dictionaries(
        {}, optional={"command": st.just(["a"]), "python": st.sampled_from(["a:b", "ab"]), "confine": st.just("none"),
                      "network": st.booleans(), "read": st.just(["/"]), "memory": st.just("1KiB"), "x": st.just(1)},
    ),
)  # fmt: skip


def section(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """A section of the settings with some of these, each of them anything."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, written))


queue = section("handler", "limits", "timeout", "priority", "max_failures", "backoff", "settle", "sidecar",
                "max_size", "max_files", "max_bytes", "rate", "sidecar_queue", "backof")  # fmt: skip
anything = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("spool", "durability", "consumers", "ui_port", "producers", "low_water", "spol"), written),
        "ingest": written | section("watch", "sweep_every", "ignore", "create_queues_by_mkdir", "batch"),
        "consume": section("lease", "poll_every", "drain", "kill_after", "prefetch"),
        "keep": section("done", "dead", "rows"),
        "health": section("log", "inodes", "backlog"),
        "defaults": queue | written,
        "queues": st.dictionaries(st.sampled_from(["a", "b", "Bad", "c/d"]), queue, max_size=2) | written,
    },
)


def test_what_is_written_the_usual_way_is_read_without_pydantic() -> None:
    values = tomllib.loads(USUAL)

    assert repr(plain.read(Settings, values)) == repr(validated(Settings, values, {}))


def test_a_whole_number_of_the_environment_is_read_without_pydantic() -> None:
    assert plain.read(Settings, {"consumers": "3", "ui_port": "8600"}) == Settings(consumers=3, ui_port=8600)


@given(anything)
def test_what_the_plain_reader_knows_is_what_pydantic_says(values: dict[str, Any]) -> None:
    try:
        known = plain.read(Settings, values)
    except plain.Doubt:
        return

    assert repr(known) == repr(validated(Settings, values, {}))  # the words tell 1 from True, and 3.0 from 3


@pytest.mark.parametrize(
    "values", [{"spol": "x"}, {"consumers": -1}, {"consume": {"lease": 1}}, {"queues": {"A": {}}}]
)
def test_what_is_wrong_is_for_pydantic_to_tell(values: dict[str, Any]) -> None:
    with pytest.raises(plain.Doubt):
        plain.read(Settings, values)
    with pytest.raises(Misconfigured):
        validated(Settings, values, {})
