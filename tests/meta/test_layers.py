"""A module imports only from the layers below its own, and media know nothing of each other.

The list is the architecture: who reads it from the top down meets each noun before those that use it. A new
module fails here until it has been given its place.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import pqfs

ROOT = Path(pqfs.__file__).parent

# Lowest first. A family (`index.*`) may import within itself; nobody else within its own layer.
LAYERS: list[tuple[str, ...]] = [
    ("errors", "clock", "kernel", "values", "checks"),
    ("events", "durations", "admission"),
    (
        "model",
        "naming",
        "channel",
        "slot",
        "doorbell",
        "owners",
        "files",
        "arrivals",
        "pulse",
        "pace",
        "fingerprint",
        "exposition",
        "tracing",
        "mounts",
    ),
    ("retry", "handlersettings", "hooksettings", "inputs", "outputs", "instants", "secretfile", "interface"),
    ("passwords", "keys"),
    ("plain", "validation", "edition", "timetable"),
    ("settings",),
    ("places", "footing"),
    ("ground", "mounting"),
    ("spool", "inbox", "sidecar", "watch", "index.*", "handlers.*"),
    ("terms", "delivery", "manifest"),
    ("notices",),
    ("dispatch", "duplicates", "steering"),
    ("jobqueue", "witness", "quota", "failures", "modes", "reach"),
    ("flaws", "sieve", "custody", "queueing", "schedules", "verbs", "hosts"),
    ("rebuild", "vigil"),
    ("reckoning",),
    ("opening",),
    ("intake",),
    ("sidecars", "ghosts", "recovery", "rejected", "submission", "report", "tree", "browse", "listing", "trends"),
    ("fileset", "bundle"),
    (
        "waiting",
        "assembly",
        "reception",
        "fsck",
        "replay",
        "provenance",
        "mending",
        "story",
        "retention",
        "vitals",
        "export",
        "assignments",
        "firing",
        "outlook",
        "weighing",
    ),
    ("symptoms",),
    ("health",),
    ("alarms", "concerns", "metrics"),
    ("why",),
    ("runner", "runtime", "hooks"),
    ("runnerlink", "dequeuer"),
    ("holding",),
    ("doubts", "oversight"),
    ("reports",),
    ("ingester", "consumer", "janitor", "courier"),
    ("wiring", "enrolment"),
    ("spoolqueue",),
    ("backends",),
    ("stack.*",),
    ("services", "doctor", "origins", "backup", "scrape", "clearing"),
    ("torture.*", "testing.*", "api.*", "scrapeserver"),
    ("pytest_plugin",),
    ("cli.*",),
    ("__main__", ""),
]
MEDIA = ("spool", "inbox", "index.*", "handlers.*")

# Who may import what comes from elsewhere. Everything not named here is free.
DOORS = {
    "apsw": {"index.sqlite"},
    "psycopg": {"index.wire"},
    "sqlite3": set[str](),
    "watchdog": {"watch", "arrivals"},
    "pydantic": {"values", "handlersettings", "validation", "sidecar", "api.*"},
    "typer": {"cli.*"},
    "rich": {"cli.*"},
    "streamlit": set[str](),
    "supervisor": {"stack.*"},
    "fastapi": {"api.*"},
    "starlette": {"api.*"},
    "uvicorn": {"api.*"},
    "python_multipart": {"api.*"},
    "ctypes": {"kernel", "handlers.launch"},
}


def _modules() -> dict[str, Path]:
    """Every module by its name below pqfs; the package itself is ''."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        if "bundled" not in path.parts:
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = _modules()


@cache
def _imported(path: Path) -> set[str]:
    """Everything that a file imports, wherever in it, by full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _of_pqfs(name: str) -> set[str]:
    """The modules of pqfs that a module imports."""
    found = set()
    for imported in _imported(MODULES[name]):
        if imported == "pqfs" or imported.startswith("pqfs."):
            inner = imported.removeprefix("pqfs").removeprefix(".")
            while inner and inner not in MODULES:
                inner = inner.rpartition(".")[0]
            found.add(inner)
    return found - {name}


def _fits(name: str, pattern: str) -> bool:
    family = pattern.removesuffix(".*")
    return name == family or (pattern.endswith(".*") and name.startswith(f"{family}."))


def _layer(name: str) -> int:
    places = [number for number, layer in enumerate(LAYERS) if any(_fits(name, each) for each in layer)]
    assert len(places) == 1, (
        f"pqfs.{name} stands in {len(places)} layers of tests/meta/test_layers.py: give it one place"
    )
    return places[0]


def _are_one_family(one: str, other: str) -> bool:
    families = [each for layer in LAYERS for each in layer if each.endswith(".*")]
    return any(_fits(one, each) and _fits(other, each) for each in families)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_the_layers_below(name: str) -> None:
    above = {
        imported
        for imported in _of_pqfs(name)
        if not _are_one_family(name, imported) and _layer(imported) >= _layer(name)
    }

    assert above == set(), f"pqfs.{name} must not import {sorted(above)}"


def test_the_layers_name_only_what_exists() -> None:
    named = [each for layer in LAYERS for each in layer]

    assert [each for each in named if not any(_fits(module, each) for module in MODULES)] == []


def _reached(name: str) -> set[str]:
    reached, new = set[str](), {name}
    while new:
        reached |= new
        new = set().union(*(_of_pqfs(each) for each in new)) - reached
    return reached


@pytest.mark.parametrize("medium", MEDIA)
def test_media_know_nothing_of_each_other_not_even_at_second_hand(medium: str) -> None:
    others = [each for each in (*MEDIA, "steering", "jobqueue") if each != medium]
    mine = [name for name in MODULES if _fits(name, medium)]

    known = {
        (name, reached) for name in mine for reached in _reached(name) if any(_fits(reached, each) for each in others)
    }

    assert known == set()


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library: str) -> None:
    users = {
        name for name, path in MODULES.items()
        if any(each == library or each.startswith(f"{library}.") for each in _imported(path))
    }  # fmt: skip

    assert {name for name in users if not any(_fits(name, door) for door in DOORS[library])} == set()


def test_only_the_clock_reads_the_wall_clock() -> None:
    """Below it time is an argument called `now`."""
    readers = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
                continue
            called = f"{node.value.id}.{node.attr}"
            if called in ("time.time", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"):
                readers.append(name)

    assert set(readers) == {"clock"}
