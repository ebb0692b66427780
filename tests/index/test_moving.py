"""An index is brought level with another: every table, on either engine, begun again as often as it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pqfs.index import Completion, Engine, Index
from pqfs.index.moving import bring_level, rows
from pqfs.index.sqlite import SqliteEngine
from pqfs.index.tables import TABLES, Table
from pqfs.model import Kind, Outcome, Place
from tests.index.test_contract import NOW, arrive, claim


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Index]:
    """An index with something in every table."""
    opened = Index(SqliteEngine(tmp_path / "source.db"))
    _fill(opened)
    yield opened
    opened.close()


def _fill(index: Index) -> None:
    for number in range(12):
        arrive(index, name=f"näme-{number}\n".encode() + b"\xff", options={"metadata": {"nul": "\0"}})
    done = claim(index, 5)
    with index.transaction():
        outcome = Outcome(Kind.DONE, started_at=NOW, run_seconds=0.125, log="said \0 nothing")
        index.complete([Completion(job, Place.DONE, f"out-{job.id}", outcome) for job in done], NOW)
        index.create_queue("scans", NOW + 1 / 3)
        index.identify("a spool", 7)
    engine = index.engine
    with index.transaction():
        for table in TABLES:
            if not engine.run(f"first_{table.name}", {"limit": 1}):
                engine.run_many(f"put_{table.name}", [made_up(table, done[0].id, number) for number in range(1, 4)])


def made_up(table: Table, job: str, number: int) -> dict[str, object]:
    """A row of a table that the verbs above have not written."""
    values = {"text": f"{number}-\u20ac", "whole": number, "real": NOW + number / 3, "bytes": b"\0\xff"}
    row: dict[str, object] = {column: values[kind] for column, kind in table.columns.items()}
    own = {"only_one": 1, "put_aside_at": None, "kind": "key" if table.name == "keys" else "failed", "job": job}
    return row | {column: value for column, value in own.items() if column in row}


def _all(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    return {table.name: list(rows(engine, table)) for table in TABLES}


def test_a_table_is_told_with_every_column_that_it_has(source: Index, tmp_path: Path) -> None:
    engine = source.engine
    assert isinstance(engine, SqliteEngine)
    named = engine._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    tables = {name for (name,) in named if not name.startswith("sqlite_")}
    assert tables - {"counts"} == {table.name for table in TABLES}
    for table in TABLES:
        found = list(engine._connection.execute(f"PRAGMA table_info({table.name})"))
        assert {row[1] for row in found} == set(table.columns), table.name
        assert [row[1] for row in sorted(found, key=lambda row: row[5]) if row[5]] == list(table.keys), table.name


def test_every_row_of_every_table_comes_over_as_it_was(source: Index, index: Index) -> None:
    told: list[int] = []

    written = bring_level(source.engine, index.engine, told.append)

    assert _all(index.engine) == _all(source.engine)
    assert all(_all(index.engine).values()), "a table without a row shows nothing"
    assert sum(told) == sum(map(len, _all(source.engine).values()))
    assert written >= sum(told) - 2  # the queue `default`, and the head of the chain, may be the same from the start
    assert sorted(index.counts()) == sorted(source.counts())


def test_a_second_pass_finds_nothing_to_write(source: Index, index: Index) -> None:
    bring_level(source.engine, index.engine, lambda _: None)

    assert bring_level(source.engine, index.engine, lambda _: None) == 0


def test_what_was_cut_off_goes_on_with_what_is_missing(
    source: Index, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pqfs.index.moving._CHUNK", 3)

    class Cut(Exception):
        """The power of the person who moves."""

    def cut(_: int) -> None:
        raise Cut

    with pytest.raises(Cut):
        bring_level(source.engine, index.engine, cut)
    bring_level(source.engine, index.engine, lambda _: None)

    assert _all(index.engine) == _all(source.engine)


def test_what_the_source_does_not_have_is_removed(source: Index, index: Index) -> None:
    stale = arrive(index, name=b"of an earlier try")
    with index.transaction():
        index.create_queue("forgotten", NOW)

    bring_level(source.engine, index.engine, lambda _: None)

    assert index.job(stale.id) is None
    assert _all(index.engine) == _all(source.engine)
    assert sorted(index.counts()) == sorted(source.counts())


def test_it_comes_back_as_it_went(source: Index, index: Index, tmp_path: Path) -> None:
    bring_level(source.engine, index.engine, lambda _: None)
    back = SqliteEngine(tmp_path / "back.db")

    bring_level(index.engine, back, lambda _: None)

    assert _all(back) == _all(source.engine)
    back.close()
